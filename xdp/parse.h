/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The tuple of a packet, and the only bounds checks before the head moves. A packet to a foreign
 * address leaves here after one bit was read. */
#ifndef LBD_PARSE_H
#define LBD_PARSE_H
#include "frontend.h"
#include "packet.h"

/* The protocols that RFC 8200 4.1 allows before an upper layer, but the fragment header. */
static __always_inline bool is_extension_header(__u32 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
	       protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_AH || protocol == IPPROTO_MH ||
	       protocol == 139 /* HIP */ || protocol == 140 /* Shim6 */;
}

/* What is neither TCP nor UDP. */
static __always_inline enum verdict other_protocol(struct packet *p, const bool v6)
{
	if (p->protocol == IPPROTO_IPIP || p->protocol == IPPROTO_IPV6)
		return VERDICT_TUNNEL;
	if (p->protocol == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return unmatched(p, REASON_ICMP);
	if (v6 && p->protocol == IPPROTO_FRAGMENT)
		return unmatched(p, REASON_FRAGMENT);
	if (v6 && is_extension_header(p->protocol))
		return unmatched(p, REASON_IP_OPTIONS);
	return unmatched(p, REASON_NO_SERVICE_PORT);
}

/* The ports; the whole fixed header must lie within both the frame and the IP packet. */
static __always_inline enum verdict parse_ports(struct packet *p, __u32 ip_header, const bool v6)
{
	__u32 need = p->protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
	if (unlikely(p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP))
		return other_protocol(p, v6);
	const void *header = p->at;
	if (unlikely(header + sizeof(struct udphdr) > p->end || header + need > p->end ||
		     p->length < ip_header + need))
		return unmatched(p, REASON_TRUNCATED);
	p->ports = *(const __u32 *)header;
	return VERDICT_NEXT;
}

static __always_inline enum verdict parse4(struct packet *p)
{
	const struct iphdr *ip = take(p, sizeof(*ip));
	if (!ip)
		return drop(p, REASON_TRUNCATED);
	p->source = &ip->saddr;
	p->destination = &ip->daddr;
	if (!maybe_ours(p, false))
		return pass(p, REASON_NOT_A_VIP);

	__u8 version_ihl = *(const __u8 *)ip;
	if (unlikely(version_ihl != 0x45))
		return unmatched(p, version_ihl >> 4 == 4 && (version_ihl & 0xf) > 5
					    ? REASON_IP_OPTIONS
					    : REASON_MALFORMED);
	__u64 length = bpf_ntohs(ip->tot_len);
	if (unlikely(length < sizeof(*ip)))
		return unmatched(p, REASON_MALFORMED);
	if (unlikely((const void *)ip + length > p->end))
		return unmatched(p, REASON_TRUNCATED);
	p->length = length;
	if (unlikely(ip->frag_off & bpf_htons(0x3fff))) /* more fragments, or an offset */
		return unmatched(p, REASON_FRAGMENT);
	p->protocol = ip->protocol;
	p->traffic_class = ip->tos;
	p->dont_fragment = ip->frag_off & bpf_htons(0x4000);
	return parse_ports(p, sizeof(*ip), false);
}

static __always_inline enum verdict parse6(struct packet *p)
{
	const struct ipv6hdr *ip = take(p, sizeof(*ip));
	if (!ip)
		return drop(p, REASON_TRUNCATED);
	p->source = (const __u32 *)&ip->saddr;
	p->destination = (const __u32 *)&ip->daddr;
	if (!maybe_ours(p, true))
		return pass(p, REASON_NOT_A_VIP);

	__u32 first = bpf_ntohl(*(const __u32 *)ip);
	if (unlikely(first >> 28 != 6))
		return unmatched(p, REASON_MALFORMED);
	__u64 length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (unlikely((const void *)ip + length > p->end))
		return unmatched(p, REASON_TRUNCATED);
	p->length = length;
	p->protocol = ip->nexthdr;
	p->traffic_class = first >> 20;
	p->dont_fragment = true;
	return parse_ports(p, sizeof(*ip), true);
}

static __always_inline enum verdict parse(struct packet *p, const bool v6)
{
	return v6 ? parse6(p) : parse4(p);
}
#endif
