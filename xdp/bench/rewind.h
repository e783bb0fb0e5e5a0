/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the rewinding wrapper and its driver share: a packet as words at their offsets, and how it
 * varies from run to run. */
#ifndef LBD_REWIND_H
#define LBD_REWIND_H
#include <linux/types.h>

#define REWIND_FRAME 74 /* bytes that are written anew each time; the least a packet may have */

struct rewind_words {
	/* Flow walk: index = (index + step) mod flows. */
	__u32 index;
	__u32 flows;
	__u32 step;
	__u32 frame;  /* bytes between two runs */
	__s32 growth; /* bytes that the program under test puts in front; takes away: negative */
	__u32 v6;
	__u32 client; /* what each client's address has, the index aside: the first byte */
	__u32 port;   /* the same of its port */
	__u32 begin;  /* fill: a flow's first packet is a SYN */
	__u32 phase;  /* fill: packets that the present flow has had */
	__u64 runs, bad_growth, fell_through;
	/* The frame, each word at the offset in its name: naturally aligned here, one store there.
	 */
	__u64 e0;
	__u32 e8;
	__u16 e12, pad0;
	__u64 four14, four26, four34, four42;
	__u32 four22, four50;
	__u32 four_sum; /* of the header's 16-bit words, source and checksum as 0 */
	__u32 pad1;
	__u64 six14, six22, six30, six38, six46, six54, six64;
	__u16 six62, six72;
	__u32 pad2;
};

/* Odd, so that distinct indices have distinct addresses: 10.0.0.0/8 has 2^24. */
#define REWIND_ADDRESS_STEP 0x9e3779b1u
#define REWIND_PORT_STEP    0x85ebca6bu

#define REWIND_CLIENT	 10   /* 10.x.y.z as in memory */
#define REWIND_PORT	 4    /* 1024 and up */
#define FILL_PACKETS	 3    /* of each flow: see fill() */
#define REWIND_SEQUENCE	 1    /* of TCP segments; of the SYN before them one less */
#define REWIND_FLAGS	 0x10 /* ACK */
#define REWIND_FLAGS_SYN 0x02
#endif
