"""Read and write pictures and films; no networks.

`photo` holds photos, `film_reader` and `film_writer` films and folders of frames, `matroska` what PyAV cannot write.
Which files are photos and which are films: `photo.PHOTO_ENDINGS`, `film_reader.FILM_ENDINGS`.
"""
