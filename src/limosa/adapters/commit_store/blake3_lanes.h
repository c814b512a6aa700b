/* Keyed BLAKE3 of LANES pages at a time, one in each lane of a vector; pages.c includes this once for each width.
 *
 * A page is four chunks of 1024 bytes, whose chaining values are joined by two parents and a root. No library has a
 * function for many short inputs, and one page at a time fills half of a vector at best.
 * Source: "BLAKE3: one function, fast everywhere", sections 2.1 to 2.5 and 5.3. */

#define JOINED(name, lanes) name##lanes
#define NAMED(name, lanes) JOINED(name, lanes)
#define NAME(name) NAMED(name, LANES)
#define V NAME(lanes_)

typedef uint32_t V __attribute__((vector_size(4 * LANES)));

/* Rows become columns: word w of lane l goes from row l, word w, to row w, word l. */
static inline __attribute__((always_inline)) TARGET void NAME(transpose)(V row[LANES]) {
    V half[LANES];
#if LANES == 8
    const V low32 = {0, 8, 1, 9, 4, 12, 5, 13}, high32 = {2, 10, 3, 11, 6, 14, 7, 15};
    const V low64 = {0, 1, 8, 9, 4, 5, 12, 13}, high64 = {2, 3, 10, 11, 6, 7, 14, 15};
    const V low128 = {0, 1, 2, 3, 8, 9, 10, 11}, high128 = {4, 5, 6, 7, 12, 13, 14, 15};
#else
    const V low32 = {0, 4, 1, 5}, high32 = {2, 6, 3, 7};
    const V low64 = {0, 1, 4, 5}, high64 = {2, 3, 6, 7};
#endif
    for (int at = 0; at < LANES; at += 4) {
        V a = __builtin_shuffle(row[at], row[at + 1], low32), b = __builtin_shuffle(row[at], row[at + 1], high32);
        V c = __builtin_shuffle(row[at + 2], row[at + 3], low32), d = __builtin_shuffle(row[at + 2], row[at + 3], high32);
        half[at] = __builtin_shuffle(a, c, low64);
        half[at + 1] = __builtin_shuffle(a, c, high64);
        half[at + 2] = __builtin_shuffle(b, d, low64);
        half[at + 3] = __builtin_shuffle(b, d, high64);
    }
#if LANES == 8
    for (int at = 0; at < 4; at++) {
        row[at] = __builtin_shuffle(half[at], half[at + 4], low128);
        row[at + 4] = __builtin_shuffle(half[at], half[at + 4], high128);
    }
#else
    memcpy(row, half, sizeof half);
#endif
}

#define TURNED(x, n) ((x) >> (n) | (x) << (32 - (n)))
#if LANES == 8 /* whole bytes are moved by one instruction there */
typedef uint8_t NAME(bytes_) __attribute__((vector_size(4 * LANES)));
#define EACH(a, b, c, d)                                                                                               \
    {a, b, c, d, a + 4, b + 4, c + 4, d + 4, a + 8, b + 8, c + 8, d + 8, a + 12, b + 12, c + 12, d + 12,               \
     a + 16, b + 16, c + 16, d + 16, a + 20, b + 20, c + 20, d + 20, a + 24, b + 24, c + 24, d + 24, a + 28, b + 28, c + 28, d + 28}
static const NAME(bytes_) NAME(by16_) = EACH(2, 3, 0, 1), NAME(by8_) = EACH(1, 2, 3, 0);
#define TURNED16(x) ((V)__builtin_shuffle((NAME(bytes_))(x), NAME(by16_)))
#define TURNED8(x) ((V)__builtin_shuffle((NAME(bytes_))(x), NAME(by8_)))
#else
#define TURNED16(x) TURNED(x, 16)
#define TURNED8(x) TURNED(x, 8)
#endif
#define MIXED(a, b, c, d, x, y)                                                                                        \
    a += b + (x), d = TURNED16(d ^ a), c += d, b = TURNED(b ^ c, 12);                                                  \
    a += b + (y), d = TURNED8(d ^ a), c += d, b = TURNED(b ^ c, 7)

/* The chaining values `cv` of all lanes after the 64 bytes at each of `from`. */
static inline __attribute__((always_inline)) TARGET void NAME(compress)(V cv[8], const uint8_t *const from[LANES],
                                                                      size_t offset, V counter, uint32_t flags) {
    V m[16];
    for (int part = 0; part < 16; part += LANES) {
        for (int lane = 0; lane < LANES; lane++)
            memcpy(&m[part + lane], from[lane] + offset + 4 * part, sizeof m[0]);
        NAME(transpose)(m + part);
    }
    const V none = {0};
    V v[16];
    for (int word = 0; word < 8; word++)
        v[word] = cv[word];
    for (int word = 0; word < 4; word++)
        v[8 + word] = none + IV[word];
    v[12] = counter, v[13] = none, v[14] = none + 64, v[15] = none + flags;
#pragma GCC unroll 7
    for (int turn = 0; turn < 7; turn++) {
        const uint8_t *s = SCHEDULE[turn];
        MIXED(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);
        MIXED(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);
        MIXED(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);
        MIXED(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);
        MIXED(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);
        MIXED(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);
        MIXED(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);
        MIXED(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);
    }
    for (int word = 0; word < 8; word++)
        cv[word] = v[word] ^ v[word + 8];
}

static inline __attribute__((always_inline)) TARGET void NAME(begin)(V cv[8], const uint32_t key[8]) {
    const V none = {0};
    for (int word = 0; word < 8; word++)
        cv[word] = none + key[word];
}

static inline __attribute__((always_inline)) TARGET void NAME(store)(const V cv[8], uint8_t *const to[LANES]) {
    uint32_t words[8][LANES];
    memcpy(words, cv, sizeof words);
    for (int lane = 0; lane < LANES; lane++)
        for (int word = 0; word < 8; word++)
            memcpy(to[lane] + 4 * word, &words[word][lane], 4);
}

/* The digests of LANES pages. */
static TARGET void NAME(digests)(const uint32_t key[8], const uint8_t *const pages[LANES], uint8_t *const to[LANES]) {
    uint8_t chunks[LANES * 4][32], parents[LANES * 2][32];
    const uint8_t *from[LANES];
    uint8_t *into[LANES];
    V cv[8], counter;
    const V none = {0};
    for (int lane = 0; lane < LANES; lane++)
        counter[lane] = lane % 4;
    for (int first = 0; first < 4 * LANES; first += LANES) {
        for (int lane = 0; lane < LANES; lane++) {
            from[lane] = pages[(first + lane) / 4] + (first + lane) % 4 * 1024;
            into[lane] = chunks[first + lane];
        }
        NAME(begin)(cv, key);
        for (int block = 0; block < 16; block++)
            NAME(compress)(cv, from, block * 64, counter, KEYED | (block == 0 ? CHUNK_START : block == 15 ? CHUNK_END : 0));
        NAME(store)(cv, into);
    }
    for (int first = 0; first < 2 * LANES; first += LANES) {
        for (int lane = 0; lane < LANES; lane++)
            from[lane] = chunks[2 * (first + lane)], into[lane] = parents[first + lane];
        NAME(begin)(cv, key);
        NAME(compress)(cv, from, 0, none, KEYED | PARENT);
        NAME(store)(cv, into);
    }
    for (int lane = 0; lane < LANES; lane++)
        from[lane] = parents[2 * lane];
    NAME(begin)(cv, key);
    NAME(compress)(cv, from, 0, none, KEYED | PARENT | ROOT);
    NAME(store)(cv, to);
}

#undef MIXED
#undef TURNED
#undef TURNED16
#undef TURNED8
#undef EACH
#undef V
#undef NAME
#undef NAMED
#undef JOINED
#undef LANES
#undef TARGET
