"""The bundled web site, its server on loopback, and the command that crawls it."""
