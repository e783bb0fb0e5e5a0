/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The hashes that both sides compute: a flow's, and the places of a frontend. Plain C, for the BPF
 * programs and for the daemon, which must find the same row and the same bucket. */
#ifndef LBD_HASH_H
#define LBD_HASH_H
#include "abi.h"

#define LBD_INLINE static inline __attribute__((always_inline))

/* The flow hash: a keyed multilinear sum over 32-bit words, strongly universal in its upper half
 * when the keys are random (Lemire & Kaser, "Strongly universal string hashing is fast"), then one
 * multiplication, so that no linear structure of ports or addresses is left. */
LBD_INLINE __u32 hash_finish(__u64 h)
{
	h ^= h >> 32;
	h *= 0x9fb21c651e98df25ull;
	return (__u32)((h ^ h >> 28) >> 20);
}

/* ports: source port and destination port as one word of the packet, network order. */
LBD_INLINE __u32 hash4(const volatile struct hash_key *key, __u32 source, __u32 destination,
		       __u32 ports, __u32 protocol)
{
	return hash_finish(key->k[0] + key->k[1] * source + key->k[2] * destination +
			   key->k[3] * ports + key->k[4] * protocol);
}

LBD_INLINE __u32 hash6(const volatile struct hash_key *key, const __u32 *source,
		       const __u32 *destination, __u32 ports, __u32 protocol)
{
	return hash_finish(key->k[0] + key->k[1] * ports + key->k[2] * protocol +
			   key->k[3] * source[0] + key->k[4] * source[1] + key->k[5] * source[2] +
			   key->k[6] * source[3] + key->k[7] * destination[0] +
			   key->k[8] * destination[1] + key->k[9] * destination[2] +
			   key->k[10] * destination[3]);
}

/* The row of a hash in a ring of `size` rows, without a division. */
LBD_INLINE __u32 row_of(__u32 hash, __u32 size)
{
	return (__u32)((__u64)hash * size >> 32);
}

/* The bit of a flow in a side record's filter. */
LBD_INLINE __u32 filter_bit(__u32 hash)
{
	return 1u << (hash & 15);
}

/* ---- Flow memory ----
 * A flow's print: of the whole tuple and the service, whatever the row is chosen by. All 64 bits
 * count: two multiplications spread what a sum leaves in its lower half. */
LBD_INLINE __u64 flow_print(const volatile struct hash_key *key, const struct flow_key *flow)
{
	const volatile __u64 *k = key->print;
	__u32 ports = (__u32)flow->destination_port << 16 | flow->source_port;
	__u32 rest = (__u32)flow->service << 8 | flow->protocol;
	__u64 h = k[0] + k[1] * ports + k[2] * rest + k[3] * flow->source[0] +
		  k[4] * flow->destination[0];
	if (flow->v6)
		h += k[5] * flow->source[1] + k[6] * flow->source[2] + k[7] * flow->source[3] +
		     k[8] * flow->destination[1] + k[9] * flow->destination[2] +
		     k[10] * flow->destination[3];
	h ^= h >> 32;
	h *= 0x9fb21c651e98df25ull;
	h ^= h >> 29;
	h *= 0xd6e8feb86659fd93ull;
	return h ^ h >> 32;
}

/* What of a print stands in cells. */
LBD_INLINE __u32 print_tag(__u64 print)
{
	return (__u32)print;
}
LBD_INLINE __u16 print_mark(__u64 print)
{
	return (__u16)(print >> 32 | 0x8000);
}
LBD_INLINE __u32 print_start(__u64 print)
{
	return (__u32)(print >> 32) & 0xfff;
}
LBD_INLINE __u64 print_adopt(__u64 print)
{
	return print & 0xffffffffffffull;
}

/* The two lines of a print in a table of `lines`; they can be the same. */
LBD_INLINE __u32 print_home(__u64 print, __u32 lines)
{
	return row_of((__u32)(print >> 32), lines);
}
LBD_INLINE __u32 print_away(__u64 print, __u32 lines)
{
	return row_of((__u32)((print ^ print >> 17) * 0x9e3779b97f4a7c15ull >> 32), lines);
}

/* ---- Frontend tables: keys are the operator's, so nothing here is secret ---- */

/* Never 0: port, protocol and the top bit share a word. port in network order. */
LBD_INLINE __u64 frontend_port_key(__u16 port, __u8 protocol)
{
	return 1ull << 32 | (__u64)protocol << 16 | port;
}

LBD_INLINE __u64 frontend_key4(__u32 address, __u16 port, __u8 protocol)
{
	return 1ull << 63 | (__u64)protocol << 48 | (__u64)port << 32 | address;
}

/* A multiplication carries upwards only, and network order puts the bytes that differ on top of
 * the address: fold first. */
LBD_INLINE __u32 frontend_hash(__u64 key)
{
	key ^= key >> 32;
	key *= 0x9e3779b97f4a7c15ull;
	return (__u32)(key >> 32);
}

LBD_INLINE __u32 frontend_hash6(const __u64 *key)
{
	return frontend_hash(key[0] * 0xbf58476d1ce4e5b9ull + key[1] * 0x94d049bb133111ebull +
			     key[2] * 0xd6e8feb86659fd93ull);
}

/* The two buckets in which a key may be. */
LBD_INLINE __u32 frontend_home(__u32 hash)
{
	return hash >> (32 - FRONTEND_BITS);
}
LBD_INLINE __u32 frontend_away(__u32 hash)
{
	return hash & (FRONTEND_BUCKETS - 1);
}

/* The bit of an address in the filter that stands before every look-up. */
LBD_INLINE __u32 address_bit4(__u32 address)
{
	return address * 0x9e3779b1u >> (32 - ADDRESS_FILTER_BITS);
}
LBD_INLINE __u32 address_bit6(const __u32 *address)
{
	return address_bit4(address[0] ^ address[1] ^ address[2] ^ address[3]);
}
#endif
