"""Service level agreements: business hours, policies and clocks."""
