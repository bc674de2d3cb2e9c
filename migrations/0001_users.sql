-- What every program asks first, and user-service: accounts, names that manifests reserve, invites. Sessions are in Redis.

-- One row: programs below this version refuse the database.
create table schema_version (
    singleton boolean primary key default true check (singleton),
    min_program integer not null
);
insert into schema_version (min_program) values (1);

create table users (
    -- UUIDv7.
    id uuid primary key,
    -- Never given to another person later, so rows are never deleted.
    username text not null unique check (username ~ '^[a-z0-9][a-z0-9._-]{0,31}$'),
    display_name text not null,
    email text,
    -- PHC string, Argon2id.
    password_hash text not null,
    created_at timestamptz not null default now()
);

-- Names that a manifest gives and nobody holds: registering one needs an invite for it.
create table reserved_names (
    username text primary key,
    reserved_at timestamptz not null default now()
);

-- Each allows one registration. The token itself is not kept, only its SHA-256.
create table invites (
    token_hash bytea primary key,
    -- Null: any free name that is not reserved.
    username text,
    expires_at timestamptz not null,
    used_by uuid references users (id),
    created_at timestamptz not null default now()
);
