// SPDX-License-Identifier: GPL-2.0
/* ethtool: header split, the size of the ring, flow rules, and counters. */

#include <linux/ethtool.h>

#include "compat.h"
#include "softnic.h"

static void sn_get_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	strscpy(info->driver, SN_NAME, sizeof(info->driver));
}

static void sn_get_ringparam(struct net_device *dev,
			     struct ethtool_ringparam *ring,
			     struct kernel_ethtool_ringparam *kernel_ring,
			     struct netlink_ext_ack *extack)
{
	struct sn_priv *priv = netdev_priv(dev);

	ring->rx_max_pending = SN_MAX_RING;
	ring->rx_pending = priv->port->ring;
	kernel_ring->tcp_data_split = priv->header_split ?
				      ETHTOOL_TCP_DATA_SPLIT_ENABLED :
				      ETHTOOL_TCP_DATA_SPLIT_DISABLED;
	kernel_ring->hds_thresh = 0;
	kernel_ring->hds_thresh_max = 0;
}

/* The size of the ring takes effect when a queue is started the next time. */
static int sn_set_ringparam(struct net_device *dev,
			    struct ethtool_ringparam *ring,
			    struct kernel_ethtool_ringparam *kernel_ring,
			    struct netlink_ext_ack *extack)
{
	struct sn_priv *priv = netdev_priv(dev);

	if (!ring->rx_pending || kernel_ring->hds_thresh)
		return -EINVAL;
	WRITE_ONCE(priv->port->ring, ring->rx_pending);
	WRITE_ONCE(priv->header_split, kernel_ring->tcp_data_split ==
				       ETHTOOL_TCP_DATA_SPLIT_ENABLED);
	return 0;
}

static void sn_get_channels(struct net_device *dev,
			    struct ethtool_channels *channels)
{
	channels->max_combined = dev->num_rx_queues;
	channels->combined_count = dev->real_num_rx_queues;
}

#ifdef SN_HAVE_RX_RING_COUNT
static u32 sn_get_rx_ring_count(struct net_device *dev)
{
	return dev->real_num_rx_queues;
}
#endif

const char * const sn_counter_names[SN_COUNTERS] = {
	[SN_PLACED_PACKETS]	= "placed_packets",
	[SN_PLACED_BYTES]		= "placed_bytes",
	[SN_KERNEL_PACKETS]	= "kernel_packets",
	[SN_HEADER_ONLY_PACKETS]	= "header_only_packets",
	[SN_DROPPED_NO_BUFFER]	= "dropped_no_buffer",
	[SN_DROPPED_FAULT]	= "dropped_fault",
	[SN_DROPPED_DOWN]		= "dropped_down",
	[SN_RECEIVED]		= "received",
	[SN_DMA_FAULTS]		= "dma_faults",
};

static int sn_get_sset_count(struct net_device *dev, int set)
{
	if (set != ETH_SS_STATS)
		return -EOPNOTSUPP;
	return dev->real_num_rx_queues * SN_COUNTERS;
}

static void sn_get_strings(struct net_device *dev, u32 set, u8 *data)
{
	unsigned int i, j;

	if (set != ETH_SS_STATS)
		return;
	for (i = 0; i < dev->real_num_rx_queues; i++)
		for (j = 0; j < SN_COUNTERS; j++)
			ethtool_sprintf(&data, "rx%u_%s", i,
					sn_counter_names[j]);
}

static void sn_get_ethtool_stats(struct net_device *dev,
				 struct ethtool_stats *stats, u64 *data)
{
	struct sn_priv *priv = netdev_priv(dev);
	unsigned int i;

	for (i = 0; i < dev->real_num_rx_queues; i++) {
		struct sn_queue *q = &priv->port->queue[i];

		spin_lock_bh(&q->lock);
		memcpy(data, q->counters, sizeof(q->counters));
		spin_unlock_bh(&q->lock);
		data += SN_COUNTERS;
	}
}

const struct ethtool_ops sn_ethtool_ops = {
	.supported_ring_params	= ETHTOOL_RING_USE_TCP_DATA_SPLIT |
				  ETHTOOL_RING_USE_HDS_THRS,
	.get_drvinfo		= sn_get_drvinfo,
	.get_link		= ethtool_op_get_link,
	.get_ringparam		= sn_get_ringparam,
	.set_ringparam		= sn_set_ringparam,
	.get_channels		= sn_get_channels,
	.get_rxnfc		= sn_flow_get,
	.set_rxnfc		= sn_flow_set,
#ifdef SN_HAVE_RX_RING_COUNT
	.get_rx_ring_count	= sn_get_rx_ring_count,
#endif
	.get_sset_count		= sn_get_sset_count,
	.get_strings		= sn_get_strings,
	.get_ethtool_stats	= sn_get_ethtool_stats,
};
