"""`mailweir doctor`: looks at a set-up and says what is wrong with it, and what mends it.

findings    what a look finds
machine     settings, folders, keys, mappings, the port and what answers there
database    the database: reachable, writable, of this version, and its clock
post        what came from sources, and how endpoints fare
verb        the command
"""
