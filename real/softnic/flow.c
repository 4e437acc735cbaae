// SPDX-License-Identifier: GPL-2.0
/*
 * Flow rules, set as with other drivers (ethtool -N): TCP over IPv4 or IPv6 to
 * a destination port goes to a queue. What no rule matches goes to queue 0.
 */

#include <linux/ethtool.h>
#include <linux/string.h>

#include "softnic.h"

unsigned int sn_flow_steer(struct sn_port *port, struct sk_buff *skb)
{
	const struct sn_cb *cb = sn_cb(skb);
	unsigned int i, queue = 0;

	if (!cb->flow_type)
		return 0;
	spin_lock_bh(&port->rules_lock);
	for (i = 0; i < SN_MAX_RULES; i++) {
		const struct sn_rule *rule = &port->rules[i];

		if (rule->flow_type == cb->flow_type &&
		    rule->dport == cb->dport) {
			queue = rule->queue;
			break;
		}
	}
	spin_unlock_bh(&port->rules_lock);
	return queue;
}

static struct sn_port *sn_port(struct net_device *dev)
{
	return ((struct sn_priv *)netdev_priv(dev))->port;
}

/* The caller holds rules_lock. */
static unsigned int sn_flow_count(struct sn_port *port)
{
	unsigned int i, count = 0;

	for (i = 0; i < SN_MAX_RULES; i++)
		count += !!port->rules[i].flow_type;
	return count;
}

/* The caller holds rules_lock. */
static int sn_flow_get_rule(struct sn_port *port,
			    struct ethtool_rx_flow_spec *fs)
{
	const struct sn_rule *rule;

	if (fs->location >= SN_MAX_RULES)
		return -EINVAL;
	rule = &port->rules[fs->location];
	if (!rule->flow_type)
		return -ENOENT;
	memset(&fs->h_u, 0, sizeof(fs->h_u));
	memset(&fs->m_u, 0, sizeof(fs->m_u));
	fs->flow_type = rule->flow_type;
	fs->ring_cookie = rule->queue;
	if (rule->flow_type == TCP_V4_FLOW) {
		fs->h_u.tcp_ip4_spec.pdst = rule->dport;
		fs->m_u.tcp_ip4_spec.pdst = htons(0xffff);
	} else {
		fs->h_u.tcp_ip6_spec.pdst = rule->dport;
		fs->m_u.tcp_ip6_spec.pdst = htons(0xffff);
	}
	return 0;
}

/* The caller holds rules_lock. */
static int sn_flow_get_all(struct sn_port *port, struct ethtool_rxnfc *info,
			   u32 *locs)
{
	unsigned int i, count = 0;

	for (i = 0; i < SN_MAX_RULES; i++) {
		if (!port->rules[i].flow_type)
			continue;
		if (count == info->rule_cnt)
			return -EMSGSIZE;
		locs[count++] = i;
	}
	info->rule_cnt = count;
	info->data = SN_MAX_RULES;
	return 0;
}

int sn_flow_get(struct net_device *dev, struct ethtool_rxnfc *info, u32 *locs)
{
	struct sn_port *port = sn_port(dev);
	int err = 0;

	spin_lock_bh(&port->rules_lock);
	switch (info->cmd) {
	case ETHTOOL_GRXRINGS:
		info->data = dev->real_num_rx_queues;
		break;
	case ETHTOOL_GRXCLSRLCNT:
		info->rule_cnt = sn_flow_count(port);
		info->data = SN_MAX_RULES | RX_CLS_LOC_SPECIAL;
		break;
	case ETHTOOL_GRXCLSRULE:
		err = sn_flow_get_rule(port, &info->fs);
		break;
	case ETHTOOL_GRXCLSRLALL:
		err = sn_flow_get_all(port, info, locs);
		break;
	default:
		err = -EOPNOTSUPP;
	}
	spin_unlock_bh(&port->rules_lock);
	return err;
}

/* The destination port of a rule that matches nothing else, or 0. */
static __be16 sn_flow_dport(struct ethtool_rx_flow_spec *fs)
{
	union ethtool_flow_union mask = fs->m_u;
	__be16 *dport_mask, dport;

	if (fs->flow_type == TCP_V4_FLOW) {
		dport = fs->h_u.tcp_ip4_spec.pdst;
		dport_mask = &mask.tcp_ip4_spec.pdst;
	} else if (fs->flow_type == TCP_V6_FLOW) {
		dport = fs->h_u.tcp_ip6_spec.pdst;
		dport_mask = &mask.tcp_ip6_spec.pdst;
	} else {
		return 0;
	}
	if (*dport_mask != htons(0xffff))
		return 0;
	*dport_mask = 0;
	return memchr_inv(&mask, 0, sizeof(mask)) ? 0 : dport;
}

static int sn_flow_insert(struct net_device *dev,
			  struct ethtool_rx_flow_spec *fs)
{
	struct sn_port *port = sn_port(dev);
	__be16 dport = sn_flow_dport(fs);
	unsigned int at = fs->location;
	int err = 0;

	if (!dport)
		return -EINVAL;
	if (fs->ring_cookie >= dev->real_num_rx_queues)
		return -EINVAL;
	spin_lock_bh(&port->rules_lock);
	if (at & RX_CLS_LOC_SPECIAL) {
		for (at = 0; at < SN_MAX_RULES; at++)
			if (!port->rules[at].flow_type)
				break;
		if (at == SN_MAX_RULES)
			err = -ENOSPC;
	} else if (at >= SN_MAX_RULES) {
		err = -EINVAL;
	}
	if (!err) {
		port->rules[at].flow_type = fs->flow_type;
		port->rules[at].dport = dport;
		port->rules[at].queue = fs->ring_cookie;
		fs->location = at;
	}
	spin_unlock_bh(&port->rules_lock);
	return err;
}

static int sn_flow_delete(struct sn_port *port, unsigned int at)
{
	int err = 0;

	if (at >= SN_MAX_RULES)
		return -EINVAL;
	spin_lock_bh(&port->rules_lock);
	if (port->rules[at].flow_type)
		memset(&port->rules[at], 0, sizeof(port->rules[at]));
	else
		err = -ENOENT;
	spin_unlock_bh(&port->rules_lock);
	return err;
}

void sn_flow_clear(struct sn_port *port)
{
	spin_lock_bh(&port->rules_lock);
	memset(port->rules, 0, sizeof(port->rules));
	spin_unlock_bh(&port->rules_lock);
}

int sn_flow_set(struct net_device *dev, struct ethtool_rxnfc *info)
{
	switch (info->cmd) {
	case ETHTOOL_SRXCLSRLINS:
		return sn_flow_insert(dev, &info->fs);
	case ETHTOOL_SRXCLSRLDEL:
		return sn_flow_delete(sn_port(dev), info->fs.location);
	default:
		return -EOPNOTSUPP;
	}
}
