// SPDX-License-Identifier: GPL-2.0
/* Loads and unloads the module, registers and unregisters its interfaces. */

#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/platform_device.h>
#include <linux/sched.h>
#include <net/netdev_lock.h>
#include <net/netdev_queues.h>

#include "softnic.h"

unsigned int sn_queues = SN_MAX_QUEUES;
module_param_named(queues, sn_queues, uint, 0444);
MODULE_PARM_DESC(queues, "receive queues of each interface, 1 to 16");

static unsigned int sn_ring = 64;
module_param_named(ring, sn_ring, uint, 0444);
MODULE_PARM_DESC(ring, "descriptors of a receive ring, 1 to 1024");

static unsigned int sn_mtu = 16384;
module_param_named(mtu, sn_mtu, uint, 0444);
MODULE_PARM_DESC(mtu, "MTU of a new interface, 68 to 61440");

static bool sn_queue_api = true;
module_param_named(queue_api, sn_queue_api, bool, 0444);
MODULE_PARM_DESC(queue_api, "whether queues are started and stopped one by one");

#define SN_MAX_MTU	61440

struct sn_port sn_ports[SN_PORTS];
/* Held while an interface is registered, unregistered or restarted. */
DEFINE_MUTEX(sn_lock);

static struct platform_device *sn_pdev;

struct device *sn_dma_dev(void)
{
	return &sn_pdev->dev;
}

/* GRO would make one skb of several frames. */
static netdev_features_t sn_fix_features(struct net_device *dev,
					 netdev_features_t features)
{
	return features & ~NETIF_F_GRO;
}

static const struct net_device_ops sn_netdev_ops = {
	.ndo_open		= sn_open,
	.ndo_stop		= sn_stop,
	.ndo_start_xmit		= sn_xmit,
	.ndo_validate_addr	= eth_validate_addr,
	.ndo_set_mac_address	= eth_mac_addr,
	.ndo_fix_features	= sn_fix_features,
};

static void sn_setup(struct net_device *dev, struct sn_port *port)
{
	struct sn_priv *priv = netdev_priv(dev);
	unsigned int i;

	priv->dev = dev;
	priv->port = port;
	priv->header_split = true;
	for (i = 0; i < sn_queues; i++)
		priv->rxq[i].q = &port->queue[i];
	SET_NETDEV_DEV(dev, sn_dma_dev());
	dev_net_set(dev, current->nsproxy->net_ns);
	snprintf(dev->name, sizeof(dev->name), "sn%u", port->nr);
	eth_hw_addr_random(dev);
	dev->netdev_ops = &sn_netdev_ops;
	dev->ethtool_ops = &sn_ethtool_ops;
	if (sn_queue_api)
		dev->queue_mgmt_ops = &sn_queue_mgmt_ops;
	/* A memory provider asks for header split with this threshold. */
	dev->cfg->hds_config = ETHTOOL_TCP_DATA_SPLIT_ENABLED;
	dev->cfg->hds_thresh = 0;
	dev->pcpu_stat_type = NETDEV_PCPU_STAT_TSTATS;
	/* Without a qdisc a frame is on the link when send(2) returns. */
	dev->priv_flags |= IFF_NO_QUEUE;
	dev->lltx = true;
	dev->features |= NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_HIGHDMA |
			 NETIF_F_NTUPLE;
	dev->hw_features = dev->features;
	dev->max_mtu = SN_MAX_MTU;
	dev->mtu = sn_mtu;
}

/* The caller holds sn_lock. The interface appears where the caller is. */
int sn_register(struct sn_port *port)
{
	struct net_device *dev;
	int err;

	dev = alloc_etherdev_mqs(sizeof(struct sn_priv), sn_queues, sn_queues);
	if (!dev)
		return -ENOMEM;
	sn_setup(dev, port);
	err = register_netdev(dev);
	if (err) {
		free_netdev(dev);
		return err;
	}
	rcu_assign_pointer(port->dev, dev);
	return 0;
}

/* The caller holds sn_lock. Waits for all references to the interface. */
void sn_unregister(struct sn_port *port)
{
	struct net_device *dev;

	dev = rcu_replace_pointer(port->dev, NULL, lockdep_is_held(&sn_lock));
	if (!dev)
		return;
	unregister_netdev(dev);
	free_netdev(dev);
}

/*
 * The NIC writes to the physical address that it gets as the DMA address. This
 * is right without an IOMMU, without bounce buffers and without encryption.
 */
static int sn_check_dma(struct device *dev)
{
	struct page *page = alloc_page(GFP_KERNEL);
	phys_addr_t phys;
	dma_addr_t dma;
	int err = 0;

	if (!page)
		return -ENOMEM;
	phys = page_to_phys(page);
	dma = dma_map_page(dev, page, 0, PAGE_SIZE, DMA_FROM_DEVICE);
	if (dma_mapping_error(dev, dma)) {
		err = -EIO;
	} else {
		dma_unmap_page(dev, dma, PAGE_SIZE, DMA_FROM_DEVICE);
		if (get_dma_ops(dev) || (phys_addr_t)dma != phys)
			err = -EOPNOTSUPP;
	}
	if (err)
		dev_err(dev, "DMA addresses are not physical addresses here; boot without an IOMMU, bounce buffers and memory encryption\n");
	__free_page(page);
	return err;
}

static void sn_port_init(struct sn_port *port, unsigned int nr)
{
	unsigned int i;

	port->nr = nr;
	port->frag_size = PAGE_SIZE;
	port->ring = sn_ring;
	spin_lock_init(&port->rules_lock);
	for (i = 0; i < SN_MAX_QUEUES; i++) {
		struct sn_queue *q = &port->queue[i];

		q->port = port;
		q->idx = i;
		spin_lock_init(&q->lock);
		__skb_queue_head_init(&q->in);
		__skb_queue_head_init(&q->held);
		__skb_queue_head_init(&q->reversed);
	}
}

static void sn_remove_all(void)
{
	unsigned int i, j;

	mutex_lock(&sn_lock);
	for (i = 0; i < SN_PORTS; i++)
		sn_unregister(&sn_ports[i]);
	mutex_unlock(&sn_lock);
	for (i = 0; i < SN_PORTS; i++)
		for (j = 0; j < SN_MAX_QUEUES; j++)
			sn_wire_reset(&sn_ports[i].queue[j]);
	platform_device_unregister(sn_pdev);
}

static int __init sn_init(void)
{
	const struct platform_device_info info = {
		.name = SN_NAME,
		.id = PLATFORM_DEVID_NONE,
		.dma_mask = DMA_BIT_MASK(64),
	};
	unsigned int i;
	int err;

	if (!sn_queues || sn_queues > SN_MAX_QUEUES || !sn_ring ||
	    sn_ring > SN_MAX_RING || sn_mtu < ETH_MIN_MTU ||
	    sn_mtu > SN_MAX_MTU)
		return -EINVAL;
	sn_pdev = platform_device_register_full(&info);
	if (IS_ERR(sn_pdev))
		return PTR_ERR(sn_pdev);
	err = sn_check_dma(sn_dma_dev());
	if (err) {
		platform_device_unregister(sn_pdev);
		return err;
	}
	for (i = 0; i < SN_PORTS; i++)
		sn_port_init(&sn_ports[i], i);
	mutex_lock(&sn_lock);
	for (i = 0; i < SN_PORTS && !err; i++)
		err = sn_register(&sn_ports[i]);
	mutex_unlock(&sn_lock);
	if (err) {
		sn_remove_all();
		return err;
	}
	sn_debugfs_create();
	return 0;
}

static void __exit sn_exit(void)
{
	sn_debugfs_remove();
	sn_remove_all();
}

module_init(sn_init);
module_exit(sn_exit);
MODULE_DESCRIPTION("A linked pair of interfaces whose queues take memory providers");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("NETDEV_INTERNAL");
