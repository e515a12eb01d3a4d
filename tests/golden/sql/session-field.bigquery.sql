WITH raw AS (
  SELECT
    `user_pseudo_id` AS u,
    `event_timestamp` AS ts,
    SAFE_CAST(`event_date` AS INT64) AS d,
    COALESCE(CAST(`batch_page_id` AS INT64), -9223372036854775808) AS o0,
    COALESCE(CAST(`batch_ordering_id` AS INT64), -9223372036854775808) AS o1,
    COALESCE(CAST(`batch_event_index` AS INT64), -9223372036854775808) AS o2,
    COALESCE(`event_name`, '') AS n,
    (SELECT COALESCE(CAST(p.`value`.`int_value` AS INT64), SAFE_CAST(CAST(p.`value`.`string_value` AS STRING) AS INT64)) FROM UNNEST(`event_params`) AS p WHERE p.`key` = 'ga_session_id' LIMIT 1) AS s,
    REGEXP_EXTRACT((SELECT COALESCE(p.`value`.`string_value`, CAST(p.`value`.`int_value` AS STRING), CASE WHEN ABS(p.`value`.`double_value`) < 1e15 AND p.`value`.`double_value` = FLOOR(p.`value`.`double_value`) THEN CAST(CAST(p.`value`.`double_value` AS INT64) AS STRING) ELSE CAST(p.`value`.`double_value` AS STRING) END, CASE WHEN ABS(p.`value`.`float_value`) < 1e15 AND p.`value`.`float_value` = FLOOR(p.`value`.`float_value`) THEN CAST(CAST(p.`value`.`float_value` AS INT64) AS STRING) ELSE CAST(p.`value`.`float_value` AS STRING) END) FROM UNNEST(`event_params`) AS p WHERE p.`key` = 'page_location' LIMIT 1), '^https?://[^/?#]+([^?#]*)') AS f0,
    CASE WHEN `collected_traffic_source` IS NOT NULL THEN STRUCT(`collected_traffic_source`.`manual_source` AS v) END AS f1,
    `session_traffic_source_last_click` IS NULL AS f2,
    COALESCE(`session_traffic_source_last_click`.`cross_channel_campaign`.`source`, `session_traffic_source_last_click`.`manual_campaign`.`source`) AS f3
  FROM (SELECT * FROM `acme.analytics_1.events_*` WHERE _TABLE_SUFFIX BETWEEN '20140101' AND '20240310')
  WHERE `user_pseudo_id` IS NOT NULL
    AND `event_timestamp` IS NOT NULL
    AND `event_date` <= '20240310'
),
win AS (
  SELECT
    raw.*,
    CASE WHEN s IS NOT NULL THEN FIRST_VALUE(f0 IGNORE NULLS) OVER (PARTITION BY u, s ORDER BY ts, o0, o1, o2, n ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) END AS w0,
    CASE WHEN s IS NOT NULL THEN FIRST_VALUE(f1 IGNORE NULLS) OVER (PARTITION BY u, s ORDER BY ts, o0, o1, o2, n ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) END AS w1
  FROM raw
),
ev AS (
  SELECT
    *
  FROM (  SELECT
    u,
    ts,
    d,
    CAST(CASE WHEN (LOWER(w0) = LOWER('/a') AND LOWER(CASE WHEN f2 THEN w1.`v` ELSE f3 END) = LOWER('google')) THEN 1 ELSE 0 END AS INT64) AS m0
  FROM win) AS marked
  WHERE (m0 <> 0)
),
usr AS (
  SELECT
    u,
    BIT_OR(m0) AS e0,
    (BIT_OR(CASE WHEN d > 20220917 THEN m0 ELSE 0 END) & 1) <> 0 AS r0
  FROM ev
  GROUP BY u
),
flags AS (
  SELECT
    usr.u,
    CASE WHEN ((e0 & 1) <> 0) AND (r0) THEN 1 ELSE 0 END AS a0
  FROM usr
),
totals AS (
  SELECT SUM(a0) AS n0
  FROM flags
)
SELECT r.key, r.users
FROM totals, UNNEST([
  STRUCT('session-field' AS key, COALESCE(n0, 0) AS users)
]) AS r
