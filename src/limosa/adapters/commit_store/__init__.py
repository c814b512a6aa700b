"""The commit store in a directory (docs/format.md, docs/adr/0010).

key             the group's key, 32 bytes
format          version and key id, written last when a store is made
lock            shared by writers, exclusive for a collection
packs/ID.pack   records, appended to and never changed: all that matters besides refs/
refs/…  logs/…  names of commits, and what they named before
leases/…        commits that running commands read
index/          SQLite and sorted page digests; can be rebuilt from the packs
"""
