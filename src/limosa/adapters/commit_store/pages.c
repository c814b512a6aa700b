/* What the commit store does with every page, for many pages in one call (docs/adr/0042): digests, which pages are
 * zero or known, frames of those that are not, and the rows of the page index. sorting.py says what comes of it;
 * it does the same without a compiler.
 *
 * Nothing here reads or writes a file, waits, or keeps a pointer after it has returned. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the format is little-endian, and so is this"
#endif

enum { PAGE = 4096, DIGEST = 32, PREFIX = 16, SLOT_BITS = 10 };
enum { CHUNK_START = 1, CHUNK_END = 2, PARENT = 4, ROOT = 8, KEYED = 16 };
static const uint32_t IV[4] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A};
static const uint8_t SCHEDULE[7][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1}, {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4}, {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13},
};

#define TARGET
#define LANES 4
#include "blake3_lanes.h"
#ifdef __x86_64__
#define TARGET __attribute__((target("avx2")))
#define LANES 8
#include "blake3_lanes.h"
#endif

typedef void digests_of(const uint32_t *key, const uint8_t *const *pages, uint8_t *const *to);

/* The digests of n pages, wherever they are. */
static void digest_all(const uint32_t key[8], const uint8_t **pages, uint8_t **to, size_t n) {
    size_t lanes = 4;
    digests_of *digests = digests4;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        lanes = 8, digests = digests8;
#endif
    size_t at = 0;
    for (; at + lanes <= n; at += lanes)
        digests(key, pages + at, to + at);
    if (at == n)
        return;
    const uint8_t *rest[8];
    uint8_t *into[8], unused[DIGEST];
    for (size_t lane = 0; lane < lanes; lane++) {
        rest[lane] = pages[at + lane < n ? at + lane : n - 1];
        into[lane] = at + lane < n ? to[at + lane] : unused;
    }
    digests(key, rest, into);
}

/* The digests of n pages in a row. Returns -1: there is no memory. */
int limosa_digests(const uint8_t key[DIGEST], const uint8_t *pages, size_t n, uint8_t *digests) {
    uint32_t words[8];
    const uint8_t **from = malloc((n + 1) * sizeof *from);
    uint8_t **to = malloc((n + 1) * sizeof *to);
    int failed = !from || !to;
    memcpy(words, key, sizeof words);
    for (size_t at = 0; !failed && at < n; at++)
        from[at] = pages + at * PAGE, to[at] = digests + at * DIGEST;
    if (!failed)
        digest_all(words, from, to, n);
    free(from);
    free(to);
    return -failed;
}

/* New pages since the last flush, by the first bytes of their digests. */
struct entry {
    uint8_t prefix[PREFIX];
    uint32_t frame; /* its number, plus one; 0: nothing is here */
    uint32_t slot;
};

struct sorter {
    struct entry *table;
    size_t capacity, count; /* a power of two; less than half of it is in use */
    uint32_t frame, filled, frame_pages;
};

enum { FIRST_CAPACITY = 1 << 12 };

void limosa_free(struct sorter *sorter) {
    if (sorter)
        free(sorter->table);
    free(sorter);
}

/* NULL: there is no memory. */
struct sorter *limosa_new(uint32_t frame_pages) {
    struct sorter *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->capacity = FIRST_CAPACITY;
    made->frame_pages = frame_pages;
    made->table = calloc(made->capacity, sizeof *made->table);
    if (!made->table) {
        free(made);
        return NULL;
    }
    return made;
}

/* The place of a prefix in the table, or the empty one where it would be: prefixes are random bits already. */
static struct entry *found(const struct sorter *sorter, const uint8_t *prefix) {
    uint64_t bits;
    memcpy(&bits, prefix, sizeof bits);
    for (size_t at = bits;; at++) {
        struct entry *entry = &sorter->table[at & (sorter->capacity - 1)];
        if (entry->frame == 0 || memcmp(entry->prefix, prefix, PREFIX) == 0)
            return entry;
    }
}

static int grow(struct sorter *sorter) {
    struct sorter larger = *sorter;
    larger.capacity *= 2;
    larger.table = calloc(larger.capacity, sizeof *larger.table);
    if (!larger.table)
        return -1;
    for (size_t at = 0; at < sorter->capacity; at++)
        if (sorter->table[at].frame)
            *found(&larger, sorter->table[at].prefix) = sorter->table[at];
    free(sorter->table);
    *sorter = larger;
    return 0;
}

/* How many new pages are in the table. */
uint64_t limosa_count(const struct sorter *sorter) { return sorter->count; }

/* Forget all new pages. The frame that was being filled is closed. */
void limosa_clear(struct sorter *sorter) {
    memset(sorter->table, 0, sorter->capacity * sizeof *sorter->table);
    sorter->count = 0;
}

/* End the frame that is being filled; how many pages it has. */
uint32_t limosa_close(struct sorter *sorter) {
    uint32_t filled = sorter->filled;
    if (filled)
        sorter->frame++, sorter->filled = 0;
    return filled;
}

/* One file of the page index, as page_index.py writes it. Fan and keys need not be aligned. */
struct segment {
    const uint8_t *fan, *keys, *rows;
    uint64_t n_pages, shift;
};

#define NONE (~(uint64_t)0)
#define ZERO (NONE - 1)

static uint64_t row_of(const struct segment *segments, size_t n_segments, const uint8_t *prefix) {
    uint64_t wanted;
    uint32_t first, bounds[2];
    memcpy(&wanted, prefix, sizeof wanted);
    memcpy(&first, prefix, sizeof first);
    for (size_t number = 0; number < n_segments; number++) {
        const struct segment *one = &segments[number];
        memcpy(bounds, one->fan + 4 * ((uint64_t)__builtin_bswap32(first) >> one->shift), sizeof bounds);
        for (uint64_t at = bounds[0]; at < bounds[1] && at < one->n_pages; at++) {
            uint64_t key, row;
            memcpy(&key, one->keys + 8 * at, sizeof key);
            if (key == wanted) {
                memcpy(&row, one->rows + 8 * at, sizeof row);
                return row;
            }
        }
    }
    return NONE;
}

static int is_zero(const uint8_t *page) {
    return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

/* For each of n pages its digest, and in `rows` whether it is ZERO or not known yet, NONE. Nothing but its arguments is
 * used: many may be called at once. Returns -1: there is no memory. */
int limosa_look(const uint8_t key[DIGEST], const uint8_t *pages, size_t n, uint8_t *digests, uint64_t *rows) {
    uint32_t words[8];
    const uint8_t **from = malloc((n + 1) * sizeof *from);
    uint8_t **to = malloc((n + 1) * sizeof *to);
    int failed = !from || !to;
    memcpy(words, key, sizeof words);
    if (!failed) {
        size_t there = 0;
        for (size_t at = 0; at < n; at++) {
            rows[at] = ZERO;
            if (is_zero(pages + at * PAGE))
                continue;
            rows[at] = NONE;
            from[there] = pages + at * PAGE;
            to[there++] = digests + at * DIGEST;
        }
        if (there)
            digest_all(words, from, to, there);
    }
    free(from);
    free(to);
    return -failed;
}

/* For each page that is not zero, nor new since the last flush: where the page index has one whose digest begins so.
 * Returns how many it has. */
size_t limosa_find(const struct sorter *sorter, const uint8_t *digests, size_t n, const struct segment *segments,
                   size_t n_segments, uint64_t *rows) {
    size_t in_index = 0;
    for (size_t at = 0; at < n && n_segments; at++)
        if (rows[at] == NONE && found(sorter, digests + at * DIGEST)->frame == 0)
            in_index += (rows[at] = row_of(segments, n_segments, digests + at * DIGEST)) != NONE;
    return in_index;
}

/* What a frame's record says of its pages: the first bytes of their digests, by slot. Sorted by record. */
struct directory {
    uint64_t record;
    const uint8_t *prefixes;
    uint32_t n_slots, number;
};

static const struct directory *directory_of(const struct directory *all, size_t n, uint64_t record) {
    size_t low = 0;
    for (size_t high = n; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (all[middle].record < record)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && all[low].record == record ? &all[low] : NULL;
}

/* Pages beside each other that are zero, or lie beside each other in one frame. */
struct run {
    uint64_t first_page, n_pages;
    uint32_t frame, slot;
};

enum { ZERO_RUN = UINT32_MAX, OF_DIRECTORY = 1u << 31 };

static size_t place(struct run *runs, size_t n_runs, uint64_t page, uint32_t frame, uint32_t slot) {
    struct run *last = n_runs ? &runs[n_runs - 1] : NULL;
    if (last && last->frame == frame && last->first_page + last->n_pages == page &&
        (frame == (uint32_t)ZERO_RUN || last->slot + last->n_pages == slot)) {
        last->n_pages++;
        return n_runs;
    }
    runs[n_runs] = (struct run){page, 1, frame, slot};
    return n_runs + 1;
}

struct sorted {
    uint64_t next, n_runs, zero, fresh;
    uint32_t full; /* the frame is */
};

/* Sort pages from number `at` on, as `limosa_look` and `limosa_find` found them, until all are or the frame is full. New ones are copied
 * to `frame` and their digests to `frame_digests`; `runs` has room for all. Returns -1: there is no memory; what was
 * sorted before is not undone. */
int limosa_sort(struct sorter *sorter, const uint8_t *pages, const uint8_t *digests, const uint64_t *rows, size_t at,
                size_t n, uint64_t first_page, const struct directory *directories, size_t n_directories,
                uint8_t *frame, uint8_t *frame_digests, struct run *runs, struct sorted *told) {
    *told = (struct sorted){0};
    for (; at < n; at++) {
        const uint8_t *digest = digests + at * DIGEST;
        if (rows[at] == ZERO) {
            told->zero++;
            told->n_runs = place(runs, told->n_runs, first_page + at, (uint32_t)ZERO_RUN, 0);
            continue;
        }
        if (2 * (sorter->count + 1) > sorter->capacity && grow(sorter) != 0)
            return -1;
        struct entry *entry = found(sorter, digest);
        if (entry->frame) {
            told->n_runs = place(runs, told->n_runs, first_page + at, entry->frame - 1, entry->slot);
            continue;
        }
        uint32_t slot = rows[at] & ((1 << SLOT_BITS) - 1);
        const struct directory *known = rows[at] == NONE ? NULL : directory_of(directories, n_directories, rows[at] >> SLOT_BITS);
        if (known && slot < known->n_slots && memcmp(known->prefixes + slot * PREFIX, digest, PREFIX) == 0) {
            told->n_runs = place(runs, told->n_runs, first_page + at, (uint32_t)OF_DIRECTORY | known->number, slot);
            continue;
        }
        memcpy(entry->prefix, digest, PREFIX);
        entry->frame = sorter->frame + 1, entry->slot = sorter->filled;
        sorter->count++, told->fresh++;
        memcpy(frame + (size_t)sorter->filled * PAGE, pages + at * PAGE, PAGE);
        memcpy(frame_digests + (size_t)sorter->filled * DIGEST, digest, DIGEST);
        told->n_runs = place(runs, told->n_runs, first_page + at, sorter->frame, sorter->filled);
        if (++sorter->filled == sorter->frame_pages) {
            told->full = 1, at++;
            break;
        }
    }
    told->next = at;
    return 0;
}

/* Rows of the page index: the first 8 bytes of a digest, and record and slot. */
struct row {
    uint64_t fingerprint, place;
};

void limosa_rows(struct row *rows, const uint8_t *prefixes, size_t n, uint64_t record) {
    for (size_t slot = 0; slot < n; slot++) {
        memcpy(&rows[slot].fingerprint, prefixes + slot * PREFIX, sizeof rows[slot].fingerprint);
        rows[slot].place = record << SLOT_BITS | slot;
    }
}

static int by_fingerprint(const void *one, const void *other) {
    const struct row *a = one, *b = other;
    uint64_t left = __builtin_bswap64(a->fingerprint), right = __builtin_bswap64(b->fingerprint);
    if (left == right)
        left = a->place, right = b->place;
    return (left > right) - (left < right);
}

/* Sort rows; of those with equal fingerprints the one with the highest place stays. Returns how many are left. */
size_t limosa_sorted(struct row *rows, size_t n) {
    qsort(rows, n, sizeof *rows, by_fingerprint);
    size_t kept = 0;
    for (size_t at = 0; at < n; at++)
        if (at + 1 == n || rows[at].fingerprint != rows[at + 1].fingerprint)
            rows[kept++] = rows[at];
    return kept;
}

/* The first row of each of 2^bits buckets, and n. */
void limosa_fan(const struct row *rows, size_t n, uint32_t bits, uint32_t *fan) {
    size_t at = 0;
    for (uint64_t bucket = 0; bucket <= (uint64_t)1 << bits; bucket++) {
        while (at < n && __builtin_bswap64(rows[at].fingerprint) >> 32 >> (32 - bits) < bucket)
            at++;
        fan[bucket] = at;
    }
}
