"""Search: words of texts, queries, documents and highlights."""
