"""Measurements that print a table. None is a test."""
