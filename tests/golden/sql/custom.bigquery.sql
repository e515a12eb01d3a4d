WITH raw AS (
  SELECT
    `user_pseudo_id` AS u,
    `event_timestamp` AS ts,
    SAFE_CAST(`event_date` AS INT64) AS d,
    (SELECT COALESCE(p.`value`.`string_value`, CAST(p.`value`.`int_value` AS STRING), CASE WHEN ABS(p.`value`.`double_value`) < 1e15 AND p.`value`.`double_value` = FLOOR(p.`value`.`double_value`) THEN CAST(CAST(p.`value`.`double_value` AS INT64) AS STRING) ELSE CAST(p.`value`.`double_value` AS STRING) END, CASE WHEN ABS(p.`value`.`float_value`) < 1e15 AND p.`value`.`float_value` = FLOOR(p.`value`.`float_value`) THEN CAST(CAST(p.`value`.`float_value` AS INT64) AS STRING) ELSE CAST(p.`value`.`float_value` AS STRING) END) FROM UNNEST(`user_properties`) AS p WHERE p.`key` = 'plan' LIMIT 1) AS f0,
    EXTRACT(HOUR FROM TIMESTAMP_MICROS(`event_timestamp`) AT TIME ZONE 'Europe/Berlin') AS f1
  FROM (SELECT * FROM `acme.analytics_1.events_*` WHERE _TABLE_SUFFIX BETWEEN '20140101' AND '20240310')
  WHERE `user_pseudo_id` IS NOT NULL
    AND `event_timestamp` IS NOT NULL
    AND `event_date` <= '20240310'
),
ev AS (
  SELECT
    *
  FROM (  SELECT
    u,
    ts,
    d,
    CAST(CASE WHEN (LOWER(f0) = LOWER('gold') AND LOWER(CAST(f1 AS STRING)) = LOWER('5')) THEN 1 ELSE 0 END AS INT64) AS m0
  FROM raw) AS marked
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
  STRUCT('custom' AS key, COALESCE(n0, 0) AS users)
]) AS r
