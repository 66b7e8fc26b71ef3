"""The application of the compared Django project."""
