// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The least that a program can cost: nothing, room for a header, and a header of constants. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int floor_null(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_TX;
}

SEC("xdp")
int floor_head(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_head(ctx, -20) ? XDP_ABORTED : XDP_TX;
}

SEC("xdp")
int floor_ipip(struct xdp_md *ctx)
{
	__u64 start = ctx->data, length = ctx->data_end - start;
	if (bpf_xdp_adjust_head(ctx, -20))
		return XDP_ABORTED;
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = frame + sizeof(struct ethhdr);
	if ((void *)(ip + 1) > end)
		return XDP_ABORTED;
	__builtin_memcpy(frame, "\2\0\0\0\0\1\2\0\0\0\0\2\x08\0", 14);
	__u32 total = length - sizeof(struct ethhdr) + sizeof(*ip);
	__u32 sum = 0x4500 + total + 0x4000 + 0x4004 + 0x0a00 + 0x0002 + 0x0a00 + 0x000b;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	*ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tot_len = bpf_htons(total),
		.frag_off = bpf_htons(0x4000),
		.ttl = 64,
		.protocol = 4,
		.check = bpf_htons(~sum),
		.saddr = bpf_htonl(0x0a000002),
		.daddr = bpf_htonl(0x0a00000b),
	};
	return XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
