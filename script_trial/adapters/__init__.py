"""What there is to know about libraries: a module or a package for each, with an object `adapter`.

They are found by walking this package. A module here is imported before its library, and in processes without torch:
at its top it imports neither.
"""
