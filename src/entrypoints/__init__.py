"""Where processes start: settings, wiring, commands and the library."""
