class GraphDecoder:
    pass
