"""A gallery of generated artworks on the bundled model: something to search before there is anything to search."""
