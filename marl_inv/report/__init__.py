"""Sentences, tables, pictures and pages about results."""
