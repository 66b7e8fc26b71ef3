"""How the outside is met: databases, HTTP, brokers, mail, files."""
