"""Tools of servers that speak the Model Context Protocol.

What a server says of itself (names, descriptions, schemas) and what it answers is untrusted. Its
program is not: it runs with the rights of the user who named it.
"""
