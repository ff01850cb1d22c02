/* SPDX-License-Identifier: MIT */
/* quire's native trace format, file name suffix .qtr, version 1. Everything is little-endian; offsets are in bytes.
 *
 * A file is   header, chunk*, end.   A reader that cannot seek needs nothing else. A reader that can seeks to the last
 * 32 bytes, which say where the end record and its index begin.
 *
 * header (28 bytes, then meta):
 *    0  8  magic 89 51 54 52 0d 0a 1a 0a
 *    8  2  version: 1
 *   10  2  flags: QTR_HAS_TIME, QTR_PAGES
 *   12  4  n_vcpus: 1..256
 *   16  4  meta_bytes: 0..65536
 *   20  4  CRC-32 of meta
 *   24  4  CRC-32 of bytes 0..23
 *   28  .  meta: lines "key=value\n" of UTF-8 text; keys are [a-z_]+ and appear once
 *
 * chunk (24 bytes, then payload):
 *    0  4  magic "QCHK"
 *    4  4  n_records: 1..65536
 *    8  4  payload_bytes: 1..QTR_MAX_PAYLOAD
 *   12  4  CRC-32 of the payload
 *   16  4  reserved: 0
 *   20  4  CRC-32 of bytes 0..19
 *   24  .  payload: class table, column directory, columns
 *
 * class table: u16 n_classes (1..256), u16 reserved (0), then n_classes entries of 4 bytes: u16 size, u8 kind
 * (enum trace_kind), u8 vcpu (below n_vcpus). A class is what the hot fields of a record have in common.
 *
 * column directory: five entries of 20 bytes, in the order class, address, argument, time, text:
 *    0  1  storage: 0 plain, 1 one zlib stream, 2 one zstd frame
 *    1  1  coding: 0 constant zero (no bytes), 1 fixed width, 2 tagged widths
 *    2  1  shift, 0..63: each value was shifted right by this many bits (all of them were zero)
 *    3  1  reserved: 0
 *    4  4  widths[4]: bytes a value, 0..8 each; fixed width uses widths[0] alone and the others are 0
 *    8  4  raw_bytes: after decompression, at most QTR_MAX_COLUMN
 *   12  4  stored_bytes: in the payload; equal to raw_bytes for plain storage
 *   16  4  reserved: 0
 * The columns follow in the same order without gaps.
 *
 * A column holds one value a record. Tagged widths: first ceil(n/4) bytes of tags, two bits a record, the lowest bits
 * of a byte for the earliest record; then the values one after the other, value i in widths[tag i] bytes. class index
 * into the class table; fixed width 1, or constant zero with one class address   zigzag((addr - previous addr of the
 * same class in this chunk) >> shift); the first previous is 0. zigzag(d) = (d << 1) ^ (d >> 63), d signed argument
 * instructions since the last record of this vcpu, or what enum trace_kind says time      zigzag(time_ns - previous
 * time_ns in this chunk); only with QTR_HAS_TIME, else constant zero text      the texts of marks, one after the other;
 * no widths: raw_bytes is the sum of their lengths. coding 1 with widths 0 if there is any text, else 0 Differences are
 * modulo 2^64.
 *
 * end (24 bytes, index, footer):
 *    0  4  magic "QEND"
 *    4  4  n_chunks
 *    8  8  n_records in all
 *   16  4  CRC-32 of the index
 *   20  4  CRC-32 of bytes 0..19
 *   24  .  index: n_chunks entries of 16 bytes: u64 offset of the chunk in the file, u64 number of its first record
 *    .  .  footer, 32 bytes: u64 offset of "QEND", u64 n_records, u32 n_chunks, u32 CRC-32 of the first 20 footer
 *          bytes, magic 51 54 52 0a 65 6f 66 0a
 * A file without an end record is truncated.
 *
 * CRC-32 is zlib's crc32().
 */
#ifndef QUIRE_TRACE_H
#define QUIRE_TRACE_H

#define QTR_VERSION      1
#define QTR_MAGIC        "\x89QTR\r\n\x1a\n"
#define QTR_MAGIC_CHUNK  "QCHK"
#define QTR_MAGIC_END    "QEND"
#define QTR_MAGIC_FOOT   "QTR\neof\n"
#define QTR_HEADER_BYTES 28
#define QTR_CHUNK_BYTES  24
#define QTR_COLUMN_BYTES 20
#define QTR_END_BYTES    24
#define QTR_ENTRY_BYTES  16
#define QTR_FOOT_BYTES   32
#define QTR_MAX_VCPUS    256
#define QTR_MAX_META     65536u
#define QTR_MAX_RECORDS  65536u   /* of a chunk */
#define QTR_MAX_TEXT     65535u   /* bytes of one mark */
#define QTR_MAX_COLUMN   1048576u /* raw bytes of one column */
#define QTR_MAX_PAYLOAD  (5 * QTR_MAX_COLUMN + 4096)

/* header flags */
#define QTR_HAS_TIME 1u /* records carry absolute times in ns */
#define QTR_PAGES    2u /* addresses name 4 KiB pages only: the low 12 bits say nothing */

/* What a record is. addr, size and arg are its fields; arg of a CPU record is the number of instructions since the last
 * record of the same vCPU. These numbers are part of the file format. */
enum trace_kind {
    TRACE_READ,         /* load: addr = guest-virtual address, size in bytes (0 = unknown) */
    TRACE_WRITE,        /* store */
    TRACE_EXEC,         /* instruction fetch */
    TRACE_MODIFY,       /* load and store of the same bytes by one instruction */
    TRACE_NTSTORE,      /* store around the caches */
    TRACE_CLFLUSH,      /* addr = any byte of the line */
    TRACE_CLFLUSHOPT,   /* as above */
    TRACE_CLWB,         /* as above */
    TRACE_SFENCE,       /* addr 0 */
    TRACE_MFENCE,       /* addr 0 */
    TRACE_FLUSH_HINT,   /* write to a flush hint address; addr = any byte of the region it flushes, or 0 for all */
    TRACE_BLOCK_READ,   /* block I/O: addr = byte address on the disk, arg = bytes, size = disk number */
    TRACE_BLOCK_WRITE,  /* as above */
    TRACE_BLOCK_FLUSH,  /* cache flush of disk `size`; addr and arg 0 */
    TRACE_SPACE,        /* this vCPU switches to address space addr (a process number or page-table root) */
    TRACE_PAGE_ZERO,    /* content class: the page at addr is all zero now */
    TRACE_PAGE_PATTERN, /* the page at addr is filled with pattern number arg */
    TRACE_PAGE_UNIQUE,  /* the page at addr has content number arg; equal numbers mean equal bytes */
    TRACE_MARK,         /* text; arg = its bytes. addr is free for the user in the file, an index in memory */
    TRACE_OBJECT_READ,  /* cache request for object addr of arg bytes; no memory address */
    TRACE_OBJECT_WRITE, /* as above */
    TRACE_REGION,       /* sampled region: addr = first byte, arg = 4 KiB pages, size = accesses counted in it */
    TRACE_N_KINDS
};

#endif
