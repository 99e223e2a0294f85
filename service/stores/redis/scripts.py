"""Lua scripts: every read-modify-write of the store, so that each is atomic.

Each begins with the write that a full or read-only server refuses, so a refused script has changed nothing.
"""

from __future__ import annotations

import hashlib

Command = tuple[bytes | str | int, ...]

# KEYS: record, archive. ARGV: expected revision (8 bytes), new record, seconds to live or 0 to leave them unchanged,
# most archived events, then the events to archive.
REPLACE = r"""
local revision = redis.call('GETRANGE', KEYS[1], 0, 7)
local is_new = revision == ''
if is_new then revision = string.rep('\0', 8) end
if revision ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
  return 1
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
if is_new then redis.call('UNLINK', KEYS[2]) end
if #ARGV > 4 then
  redis.call('RPUSH', KEYS[2], unpack(ARGV, 5))
  redis.call('LTRIM', KEYS[2], -tonumber(ARGV[4]), -1)
end
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
"""

# KEYS: record, archive, served. ARGV: expected revision (8 bytes), new record or nothing, then the whole archive.
# The last list served is deleted, because it was made with the forgotten event.
REWRITE = r"""
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('UNLINK', unpack(KEYS)) end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
redis.call('UNLINK', KEYS[2], KEYS[3])
for index = 3, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[index]) end
redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1]))
return 1
"""

# KEYS: record, archive, served. Returns which of them existed. It writes even if none did, so that waiting for the disk
# also covers a repeated erasure whose first answer was lost. The write may fail on a full server, which allows only
# deletions.
ERASE = r"""
local existed = {}
for index, key in ipairs(KEYS) do existed[index] = redis.call('EXISTS', key) end
redis.pcall('SET', KEYS[1], '')
redis.call('UNLINK', unpack(KEYS))
return existed
"""

# Many users per call. KEYS: record, archive, served per user. ARGV: seconds to live of a list and of a user, and the
# remaining seconds below which a user's are renewed, since a request for a list is contact; then per user the lineage
# and the list. The lineage is the last 4 bytes of the revision that the list was made from, empty without a record. A
# list of another lineage is based on deleted data and is not stored.
NOTE_SERVED = r"""
for user = 1, #KEYS / 3 do
  local record, archive, served = KEYS[3 * user - 2], KEYS[3 * user - 1], KEYS[3 * user]
  local lineage, list = ARGV[2 * user + 2], ARGV[2 * user + 3]
  if lineage == '' or redis.call('GETRANGE', record, 4, 7) == lineage then
    redis.call('SET', served, list, 'EX', ARGV[1])
    if redis.call('TTL', record) < tonumber(ARGV[3]) then
      redis.call('EXPIRE', record, ARGV[2])
      redis.call('EXPIRE', archive, ARGV[2])
    end
  end
end
"""

_TEXTS = {
    hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(): text
    for text in (REPLACE, REWRITE, ERASE, NOTE_SERVED)
}
_SHAS = {text: sha for sha, text in _TEXTS.items()}


def call(script: str, keys: tuple[bytes, ...], *arguments: bytes | str | int) -> Command:
    """The command that runs a script by its hash."""
    return "EVALSHA", _SHAS[script], len(keys), *keys, *arguments


def with_text(command: Command) -> Command:
    """The same call with the script's text, for a server that does not know the hash; the server then caches it.

    Commands that run no script stay as they are.
    """
    if command[0] != "EVALSHA":
        return command
    _, sha, *rest = command
    return "EVAL", _TEXTS[str(sha)], *rest
