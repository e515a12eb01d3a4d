WITH raw AS (
  SELECT
    "user_pseudo_id" AS u,
    "event_timestamp" AS ts,
    TRY_CAST("event_date" AS BIGINT) AS d,
    COALESCE(list_filter("user_properties", lambda p: p['key'] = 'plan')[1]['value']['string_value'], CAST(list_filter("user_properties", lambda p: p['key'] = 'plan')[1]['value']['int_value'] AS VARCHAR), CASE WHEN ABS(list_filter("user_properties", lambda p: p['key'] = 'plan')[1]['value']['double_value']) < 1e15 AND list_filter("user_properties", lambda p: p['key'] = 'plan')[1]['value']['double_value'] = FLOOR(list_filter("user_properties", lambda p: p['key'] = 'plan')[1]['value']['double_value']) THEN CAST(CAST(list_filter("user_properties", lambda p: p['key'] = 'plan')[1]['value']['double_value'] AS BIGINT) AS VARCHAR) ELSE CAST(list_filter("user_properties", lambda p: p['key'] = 'plan')[1]['value']['double_value'] AS VARCHAR) END, CASE WHEN ABS(list_filter("user_properties", lambda p: p['key'] = 'plan')[1]['value']['float_value']) < 1e15 AND list_filter("user_properties", lambda p: p['key'] = 'plan')[1]['value']['float_value'] = FLOOR(list_filter("user_properties", lambda p: p['key'] = 'plan')[1]['value']['float_value']) THEN CAST(CAST(list_filter("user_properties", lambda p: p['key'] = 'plan')[1]['value']['float_value'] AS BIGINT) AS VARCHAR) ELSE CAST(list_filter("user_properties", lambda p: p['key'] = 'plan')[1]['value']['float_value'] AS VARCHAR) END) AS f0,
    EXTRACT(HOUR FROM (make_timestamp("event_timestamp") AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Berlin')) AS f1
  FROM read_parquet('events/*.parquet', union_by_name = true, hive_partitioning = false)
  WHERE "user_pseudo_id" IS NOT NULL
    AND "event_timestamp" IS NOT NULL
    AND "event_date" <= '20240310'
),
ev AS (
  SELECT
    *
  FROM (  SELECT
    u,
    ts,
    d,
    CAST(CASE WHEN (LOWER(f0) = LOWER('gold') AND LOWER(CAST(f1 AS VARCHAR)) = LOWER('5')) THEN 1 ELSE 0 END AS BIGINT) AS m0
  FROM raw
  OFFSET 0) AS marked
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
SELECT "r"."key" AS "key", "r"."users" AS "users"
FROM (SELECT UNNEST([
  {"key": 'custom', "users": COALESCE(n0, 0)}
]) AS "r" FROM totals)
