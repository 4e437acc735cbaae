// SPDX-License-Identifier: GPL-2.0
/* Finds the end of a frame's TCP header, where the payload is split off. */

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <net/ip.h>

#include "softnic.h"

/* Fills sn_cb(skb). A frame that is not TCP, or is malformed, has no header. */
void sn_parse(struct sk_buff *skb)
{
	const struct ethhdr *eth;
	struct sn_cb *cb = sn_cb(skb);
	const struct tcphdr *tcp;
	unsigned int at, end;
	struct tcphdr tcp_buf;
	struct ethhdr eth_buf;

	memset(cb, 0, sizeof(*cb));
	cb->len = skb->len;
	eth = skb_header_pointer(skb, 0, sizeof(eth_buf), &eth_buf);
	if (!eth)
		return;
	if (eth->h_proto == htons(ETH_P_IP)) {
		struct iphdr buf, *ip;

		ip = skb_header_pointer(skb, ETH_HLEN, sizeof(buf), &buf);
		if (!ip || ip->version != 4 || ip->ihl < 5 ||
		    ip->protocol != IPPROTO_TCP || ip_is_fragment(ip))
			return;
		cb->flow_type = TCP_V4_FLOW;
		at = ETH_HLEN + ip->ihl * 4;
		end = ETH_HLEN + ntohs(ip->tot_len);
	} else if (eth->h_proto == htons(ETH_P_IPV6)) {
		struct ipv6hdr buf, *ip;

		ip = skb_header_pointer(skb, ETH_HLEN, sizeof(buf), &buf);
		if (!ip || ip->version != 6 || ip->nexthdr != IPPROTO_TCP)
			return;
		cb->flow_type = TCP_V6_FLOW;
		at = ETH_HLEN + sizeof(*ip);
		end = at + ntohs(ip->payload_len);
	} else {
		return;
	}
	tcp = skb_header_pointer(skb, at, sizeof(tcp_buf), &tcp_buf);
	if (!tcp || tcp->doff < 5 || end > skb->len ||
	    at + tcp->doff * 4 > end) {
		cb->flow_type = 0;
		return;
	}
	cb->dport = tcp->dest;
	cb->header = at + tcp->doff * 4;
	cb->len = end;
}
