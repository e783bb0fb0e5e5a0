// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* XDP ingress: a packet to a frontend gets a backend and leaves for it, one from a balancer to this
 * node loses its outer header, every other packet goes to the stack untouched. balance() is the
 * whole story, one header a step, in packet order. */
#include "abi.h"    /* map keys and values, enum verdict, enum reason */
#include "packet.h" /* struct packet: all that the steps know about one packet */
#include "parse.h"
#include "frontend.h"
#include "backend.h"
#include "forward.h"
#include "decap.h"
#include "stats.h"

static __always_inline enum verdict balance(struct packet *p, const bool v6)
{
	enum verdict v = parse(p, v6); /* the only bounds checks before the head moves */
	if (v == VERDICT_NEXT)
		v = find_frontend(p, v6);
	if (v == VERDICT_NEXT)
		v = find_backend(p, v6);
	if (v == VERDICT_NEXT)
		v = forward(p, v6); /* moves the head: no packet pointer lives past it */
	if (v == VERDICT_TUNNEL)
		v = decapsulate(p, v6); /* the same, unless the packet is unmatched */
	if (v == VERDICT_UNMATCHED)
		v = no_frontend(p, v6);
	return v;
}

static __always_inline enum verdict by_ethertype(struct packet *p)
{
	p->length = p->end - p->at;
	const struct ethhdr *ethernet = take(p, sizeof(*ethernet));
	if (!ethernet)
		return drop(p, REASON_TRUNCATED);
	p->length -= sizeof(*ethernet);
	if (ethernet->h_proto == bpf_htons(ETH_P_IP))
		return balance(p, false);
	if (ethernet->h_proto == bpf_htons(ETH_P_IPV6))
		return balance(p, true);
	if (ethernet->h_proto == bpf_htons(ETH_P_8021Q) ||
	    ethernet->h_proto == bpf_htons(ETH_P_8021AD))
		return pass(p, REASON_VLAN);
	return pass(p, REASON_NOT_A_VIP);
}

SEC("xdp")
int lbd_xdp(struct xdp_md *ctx)
{
	struct packet p = packet_from_xdp(ctx);
	return finish_xdp(&p, by_ethertype(&p));
}

char _license[] SEC("license") = "Dual BSD/GPL";
