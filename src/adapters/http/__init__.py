"""HTTP, spoken outwards: the API, its wire format, its server."""
