WITH raw AS (
  SELECT
    `user_pseudo_id` AS u,
    `event_timestamp` AS ts,
    SAFE_CAST(`event_date` AS INT64) AS d,
    (SELECT COALESCE(CAST(p.`value`.`int_value` AS INT64), SAFE_CAST(CAST(p.`value`.`string_value` AS STRING) AS INT64)) FROM UNNEST(`event_params`) AS p WHERE p.`key` = 'ga_session_id' LIMIT 1) AS s,
    `event_name` AS f0,
    CASE WHEN `event_name` IN ('add_to_cart') THEN (SELECT COALESCE(p.`value`.`string_value`, CAST(p.`value`.`int_value` AS STRING), CASE WHEN ABS(p.`value`.`double_value`) < 1e15 AND p.`value`.`double_value` = FLOOR(p.`value`.`double_value`) THEN CAST(CAST(p.`value`.`double_value` AS INT64) AS STRING) ELSE CAST(p.`value`.`double_value` AS STRING) END, CASE WHEN ABS(p.`value`.`float_value`) < 1e15 AND p.`value`.`float_value` = FLOOR(p.`value`.`float_value`) THEN CAST(CAST(p.`value`.`float_value` AS INT64) AS STRING) ELSE CAST(p.`value`.`float_value` AS STRING) END) FROM UNNEST(`event_params`) AS p WHERE p.`key` = 'method' LIMIT 1) END AS f1
  FROM (SELECT * FROM `acme.analytics_1.events_*` WHERE _TABLE_SUFFIX BETWEEN '20140101' AND '20240310')
  WHERE `user_pseudo_id` IS NOT NULL
    AND `event_timestamp` IS NOT NULL
    AND `event_date` <= '20240310'
    AND `event_name` IN ('add_to_cart', 'page_view')
),
ev AS (
  SELECT
    *
  FROM (  SELECT
    u,
    ts,
    d,
    s,
    CAST(CASE WHEN s IS NOT NULL AND (f0 = 'add_to_cart' AND LOWER(f1) = LOWER('card')) THEN 1 ELSE 0 END + CASE WHEN s IS NOT NULL AND f0 = 'page_view' THEN 2 ELSE 0 END AS INT64) AS m0
  FROM raw) AS marked
  WHERE (m0 <> 0)
),
ses AS (
  SELECT
    u,
    s,
    BIT_OR(m0) AS h0,
    BIT_OR(CASE WHEN d > 20220917 THEN m0 ELSE 0 END) AS h20220917_0
  FROM ev
  WHERE s IS NOT NULL
    AND ((m0 & 3) <> 0)
  GROUP BY u, s
),
vis AS (
  SELECT
    u,
    BIT_OR(CAST(CASE WHEN (h0 & 1) = 1 AND (h0 & 2) = 2 THEN 1 ELSE 0 END + CASE WHEN (h0 & 1) = 1 AND (h0 & 2) = 2 AND ((h20220917_0 & 3) <> 0) THEN 2 ELSE 0 END AS INT64)) AS k0
  FROM ses
  GROUP BY u
),
flags AS (
  SELECT
    vis.u,
    CASE WHEN ((k0 & 1) <> 0) AND ((k0 & 2) <> 0) THEN 1 ELSE 0 END AS a0
  FROM vis
),
totals AS (
  SELECT SUM(a0) AS n0
  FROM flags
)
SELECT r.key, r.users
FROM totals, UNNEST([
  STRUCT('same-session' AS key, COALESCE(n0, 0) AS users)
]) AS r
