"""History: is there another world that gives every answer ever released?"""
