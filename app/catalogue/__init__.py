"""The nightly job over a list of images: download, embed, index. It can be stopped anywhere and goes on from there."""
