"""`pain3d judge`: what independent eyes make of a data set. Who looks, at what, and with which bar, a file each.

``detectors``  two face detectors that know nothing of the head find the faces, and one of them its landmarks
``ladders``    MediaPipe's blendshapes answer one action unit at a time, from 0 to 5, on every identity
``tone``       ITA° measured on the picture against what the melanin and haemoglobin of the skin ask for
``photo``      statistics of skin beside those of photographs, and whether a classifier tells them apart
``probe``      training's siamese net learns the action units on half of the identities and is tested on the others

Nothing is downloaded when it runs: the models come inside wheels from the package index (`make judge`; `extra` has
their names and licences).
"""
