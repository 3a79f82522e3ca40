//! How many pods run where.

use crate::{
    api::{Autoscaling, AutoscalingMode, StompBrokerSpec},
    validate::{Pool, PoolSize},
};

/// The pools of a broker called `name`: one for each zone in the order of the spec, or one without zones.
pub(super) fn pools(name: &str, spec: &StompBrokerSpec) -> Vec<Pool> {
    let size = |fixed| match &spec.autoscaling {
        Some(Autoscaling { mode: AutoscalingMode::External, min_replicas_per_zone, .. }) => {
            PoolSize::External { first: *min_replicas_per_zone }
        }
        Some(Autoscaling { min_replicas_per_zone: min, max_replicas_per_zone: max, .. }) => {
            PoolSize::Autoscaled { min: *min, max: max.unwrap_or(*min) }
        }
        None => PoolSize::Fixed(fixed),
    };
    if spec.zones.is_empty() {
        return vec![Pool { name: name.to_owned(), zone: None, size: size(spec.replicas.unwrap_or(1)) }];
    }
    let shares = spec.replicas.map(|total| split(total, spec.zones.len()));
    spec.zones
        .iter()
        .enumerate()
        .map(|(index, zone)| {
            let share = shares.as_ref().and_then(|shares| shares.get(index)).copied();
            Pool {
                name: format!("{name}-{}", zone.name),
                zone: Some(zone.name.clone()),
                size: size(zone.replicas.or(share).unwrap_or(1)),
            }
        })
        .collect()
}

/// `total` in `parts` even shares; the first ones get the odd ones.
pub(crate) fn split(total: i32, parts: usize) -> Vec<i32> {
    let parts = i32::try_from(parts).unwrap_or(i32::MAX).max(1);
    (0..parts).map(|part| total / parts + i32::from(part < total % parts)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Zone;

    fn zoned(replicas: Option<i32>, zones: &[(&str, Option<i32>)]) -> Vec<(String, PoolSize)> {
        let zones = zones.iter().map(|&(name, replicas)| Zone { name: name.to_owned(), replicas }).collect();
        let spec = StompBrokerSpec { replicas, zones, ..StompBrokerSpec::default() };
        pools("trading", &spec).into_iter().map(|pool| (pool.name, pool.size)).collect()
    }

    #[test]
    fn replicas_spread_evenly_and_the_first_zones_get_the_odd_ones() {
        let zones = [("a", None), ("b", None), ("c", None)];
        let sizes = |total| zoned(Some(total), &zones).into_iter().map(|(_, size)| size).collect::<Vec<_>>();
        assert_eq!(sizes(6), [2, 2, 2].map(PoolSize::Fixed));
        assert_eq!(sizes(8), [3, 3, 2].map(PoolSize::Fixed));
        assert_eq!(sizes(1), [1, 0, 0].map(PoolSize::Fixed));
        assert_eq!(sizes(0), [0, 0, 0].map(PoolSize::Fixed));
    }

    #[test]
    fn a_zone_without_a_number_gets_one_pod() {
        let pools = zoned(None, &[("a", Some(3)), ("b", None)]);
        assert_eq!(pools, [("trading-a".to_owned(), PoolSize::Fixed(3)), ("trading-b".to_owned(), PoolSize::Fixed(1))]);
    }

    #[test]
    fn without_zones_there_is_one_pool_with_the_brokers_name() {
        assert_eq!(zoned(Some(4), &[]), [("trading".to_owned(), PoolSize::Fixed(4))]);
        assert_eq!(zoned(None, &[]), [("trading".to_owned(), PoolSize::Fixed(1))]);
    }
}
