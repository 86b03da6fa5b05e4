"""Read and write pictures and films; no networks.

`photo` holds photos; `film_reader` and `film_writer` films, `frame_folder` folders of frames, `film_facts` what is kept
of a film, `packets` and `losses` what is broken of it, `fields` interlaced pictures, `matroska` what PyAV cannot write.
Which files are photos and which are films: `formats`; by ending `photo.PHOTO_ENDINGS` and `film_reader.FILM_ENDINGS`.
"""
