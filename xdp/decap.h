/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Takes the outer header off a packet that a balancer sent to this node: from allowed senders, to
 * addresses of this node only, outside and inside; with forwarding on, anything else would make
 * the node an open relay. ECN by RFC 6040 4.2. What comes out goes up the stack. */
#ifndef LBD_DECAP_H
#define LBD_DECAP_H
#include "frontend.h"
#include "packet.h"

enum ecn { ECN_NOT_ECT, ECN_ECT1, ECN_ECT0, ECN_CE, ECN_MASK = 3, ECN_LOST = 4 };

static __always_inline bool is_local(const __u32 *address, const bool v6)
{
	struct local_key key = {.v6 = v6};
	__builtin_memcpy(key.address, address, v6 ? 16 : 4);
	return bpf_map_lookup_elem(&lbd_locals, &key);
}

/* RFC 6040, figure 4: the ECN field that leaves. Congestion that the tunnel met becomes the inner
 * packet's; an inner one that can't say so is lost, as it would have been without the tunnel. */
static __always_inline __u8 ecn_leaving(__u8 inner, __u8 outer)
{
	if (outer == ECN_CE)
		return inner == ECN_NOT_ECT ? ECN_LOST : ECN_CE;
	return outer == ECN_ECT1 && inner == ECN_ECT0 ? ECN_ECT1 : inner;
}

static __always_inline bool carry_ecn4(struct iphdr *inner, __u8 outer)
{
	__u8 ecn = inner->tos & ECN_MASK, leaving = ecn_leaving(ecn, outer);
	if (leaving == ecn || leaving == ECN_LOST)
		return leaving == ecn;
	__u16 before = *(__u16 *)inner;
	inner->tos ^= ecn ^ leaving;
	/* RFC 1624, equation 3. */
	__u32 sum = (__u16)~inner->check + (__u32)(__u16)~before + *(__u16 *)inner;
	sum = (sum & 0xffff) + (sum >> 16);
	inner->check = ~((sum & 0xffff) + (sum >> 16));
	return true;
}

static __always_inline bool carry_ecn6(struct ipv6hdr *inner, __u8 outer)
{
	__u8 ecn = inner->flow_lbl[0] >> 4 & ECN_MASK, leaving = ecn_leaving(ecn, outer);
	if (leaving == ECN_LOST)
		return false;
	inner->flow_lbl[0] ^= (ecn ^ leaving) << 4;
	return true;
}

/* Checks the inner packet; NEXT where it may go up. */
static __always_inline enum verdict check_inner(struct packet *p, const bool inner6, __u32 outer)
{
	const __u8 outer_ecn = p->traffic_class & ECN_MASK;
	const __u32 inner_length = p->length - outer;
	if (inner6) {
		struct ipv6hdr *ip = take(p, sizeof(*ip));
		if (!ip || bpf_ntohs(ip->payload_len) + sizeof(*ip) > inner_length)
			return drop(p, REASON_TRUNCATED);
		if (*(__u8 *)ip >> 4 != 6)
			return drop(p, REASON_MALFORMED);
		if (!is_local((const __u32 *)&ip->daddr, true))
			return drop(p, REASON_DECAP_NOT_LOCAL);
		if (!carry_ecn6(ip, outer_ecn))
			return drop(p, REASON_ECN);
		return VERDICT_NEXT;
	}
	struct iphdr *ip = take(p, sizeof(*ip));
	if (!ip || bpf_ntohs(ip->tot_len) > inner_length)
		return drop(p, REASON_TRUNCATED);
	if (ip->version != 4 || ip->ihl < 5 || bpf_ntohs(ip->tot_len) < ip->ihl * 4)
		return drop(p, REASON_MALFORMED);
	if (!is_local(&ip->daddr, false))
		return drop(p, REASON_DECAP_NOT_LOCAL);
	if (!carry_ecn4(ip, outer_ecn))
		return drop(p, REASON_ECN);
	return VERDICT_NEXT;
}

/* The cursor is behind the outer header, which has no options and is no fragment. */
static __always_inline enum verdict decapsulate(struct packet *p, const bool v6)
{
	if (!is_local(p->destination, v6))
		return unmatched(p, REASON_NO_SERVICE_PORT);
	if (!allowed(p, SCOPE_DECAP, v6))
		return drop(p, REASON_DECAP_NOT_ALLOWED);
	const __u32 outer = v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	bool inner6 = p->protocol == IPPROTO_IPV6;
	enum verdict v = inner6 ? check_inner(p, true, outer) : check_inner(p, false, outer);
	if (v != VERDICT_NEXT)
		return v;

	struct xdp_md *ctx = p->ctx;
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr ethernet;
	if (data + sizeof(ethernet) > end)
		return drop(p, REASON_INTERNAL);
	__builtin_memcpy(&ethernet, data, sizeof(ethernet));
	ethernet.h_proto = bpf_htons(inner6 ? ETH_P_IPV6 : ETH_P_IP);
	if (bpf_xdp_adjust_head(ctx, outer))
		return drop(p, REASON_INTERNAL);
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + sizeof(ethernet) > end)
		return drop(p, REASON_INTERNAL);
	__builtin_memcpy(data, &ethernet, sizeof(ethernet));
	return pass(p, REASON_DECAPSULATED);
}
#endif
