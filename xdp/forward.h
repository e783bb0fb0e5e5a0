/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Puts the outer header on and sends the packet on its way: RFC 2003 (in IPv4), RFC 2473 (in IPv6),
 * DSCP and ECN by RFC 6040's normal mode. The inner packet is untouched. */
#ifndef LBD_FORWARD_H
#define LBD_FORWARD_H
#include "packet.h"
#include "stats.h"

#define OUTER_TTL 64

/* The headers are made of whole words, so that each is one store. */
static __always_inline void write_ethernet(void *frame, const struct next_hop *way, __u16 type)
{
	*(__u64 *)frame = READ_ONCE(way->eth0);
	*(__u32 *)(frame + 8) = way->eth8;
	*(__be16 *)(frame + 12) = bpf_htons(type);
}

static __always_inline void write_outer4(const struct packet *p, void *ip,
					 const struct next_hop *way, const bool v6)
{
	/* With DF the id is 0 (RFC 6864), else a flow's packets share one from the hash. */
	__u32 id_fragment = p->dont_fragment ? (__u32)bpf_htons(0x4000) << 16 : p->hash & 0xffff;
	__u32 start = (__u32)bpf_htons(p->length + sizeof(struct iphdr)) << 16 |
		      (__u32)p->traffic_class << 8 | 0x45;
	__u32 ttl_protocol = (v6 ? IPPROTO_IPV6 : IPPROTO_IPIP) << 8 | OUTER_TTL;
	__u32 source = way->source4, destination = p->backend->address4;
	__u64 sum = (__u64)start + id_fragment + ttl_protocol + source + destination;
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	*(__u64 *)ip = (__u64)id_fragment << 32 | start;
	*(__u32 *)(ip + 8) = ttl_protocol | (__u32)(__u16)~sum << 16;
	*(__u32 *)(ip + 12) = source;
	*(__u32 *)(ip + 16) = destination;
}

static __always_inline void write_outer6(const struct packet *p, void *ip,
					 const struct next_hop *way, const bool v6)
{
	__u32 label = p->hash & 0xfffff;
	__u32 start = bpf_htonl(6u << 28 | (__u32)p->traffic_class << 20 | label);
	__u32 rest = (__u32)OUTER_TTL << 24 | (v6 ? IPPROTO_IPV6 : IPPROTO_IPIP) << 16 |
		     bpf_htons(p->length);
	*(__u64 *)ip = (__u64)rest << 32 | start;
	__builtin_memcpy(ip + 8, way->source6, 16);
	__builtin_memcpy(ip + 24, p->backend->address6, 16);
}

static __always_inline enum verdict forward(struct packet *p, const bool v6)
{
	bool outer6 = p->backend->flags & BACKEND_V6;
	__u32 outer = outer6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	__u32 hop = READ_ONCE(p->backend->next_hop);
	const struct next_hop *way = bpf_map_lookup_elem(&lbd_next_hops, &hop);
	if (unlikely(!way))
		return drop(p, REASON_INTERNAL);
	if (unlikely(p->length + outer > way->mtu)) /* record 0, "none known", has MTU 0 */
		return drop(p, hop ? REASON_TOO_BIG : REASON_NO_NEIGHBOR);

	/* Ethernet's padding stays behind: the outer header would make it part of the packet. */
	struct xdp_md *ctx = p->ctx;
	__u64 start = ctx->data, end_of_frame = ctx->data_end; /* pointers: no 32-bit arithmetic */
	__u64 padding = end_of_frame - start - sizeof(struct ethhdr) - p->length;
	if (unlikely(padding) && bpf_xdp_adjust_tail(ctx, -(int)padding))
		return drop(p, REASON_INTERNAL);
	if (unlikely(bpf_xdp_adjust_head(ctx, -(int)outer)))
		return drop(p, REASON_INTERNAL);

	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	void *ip = data + sizeof(struct ethhdr);
	if (outer6) {
		if (unlikely(ip + sizeof(struct ipv6hdr) > end))
			return drop(p, REASON_INTERNAL);
		write_ethernet(data, way, ETH_P_IPV6);
		write_outer6(p, ip, way, v6);
	} else {
		if (unlikely(ip + sizeof(struct iphdr) > end))
			return drop(p, REASON_INTERNAL);
		write_ethernet(data, way, ETH_P_IP);
		write_outer4(p, ip, way, v6);
	}
	count_forwarded(p);
	if (likely(way->ifindex == ctx->ingress_ifindex))
		return VERDICT_TX;
	bpf_redirect(way->ifindex, 0);
	return VERDICT_REDIRECT;
}
#endif
