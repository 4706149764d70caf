CREATE EXTENSION IF NOT EXISTS vector;

-- What was uploaded, and what became of it. The photos themselves are in the storage, under storage_key.
CREATE TABLE image_uploads (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project text NOT NULL,
    image_id text NOT NULL,
    storage_key text NOT NULL,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'embedded', 'duplicate', 'failed')),
    tries integer NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL DEFAULT now(),
    error text,
    duplicate_of text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (project, image_id)
);
CREATE INDEX ON image_uploads (next_try_at) WHERE state = 'queued';

-- A photo's vector. The same bytes are there once in each project (and space, while everything is embedded anew).
CREATE TABLE image_embeddings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    image_id text NOT NULL,
    embedding vector(512) NOT NULL,
    checksum text NOT NULL,
    project text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    space text NOT NULL,
    UNIQUE (project, checksum, space)
);
CREATE INDEX ON image_embeddings USING hnsw (embedding vector_cosine_ops);

-- The one space that is searched in; there is no row until there is a first vector.
CREATE TABLE image_embedding_space (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    space text NOT NULL
);
