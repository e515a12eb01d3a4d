WITH raw AS (
  SELECT
    "user_pseudo_id" AS u,
    "event_timestamp" AS ts,
    TRY_CAST("event_date" AS BIGINT) AS d,
    COALESCE(CAST(list_filter("event_params", lambda p: p['key'] = 'ga_session_id')[1]['value']['int_value'] AS BIGINT), TRY_CAST(CAST(list_filter("event_params", lambda p: p['key'] = 'ga_session_id')[1]['value']['string_value'] AS VARCHAR) AS BIGINT)) AS s,
    "event_name" AS f0,
    CASE WHEN "event_name" IN ('add_to_cart') THEN COALESCE(list_filter("event_params", lambda p: p['key'] = 'method')[1]['value']['string_value'], CAST(list_filter("event_params", lambda p: p['key'] = 'method')[1]['value']['int_value'] AS VARCHAR), CASE WHEN ABS(list_filter("event_params", lambda p: p['key'] = 'method')[1]['value']['double_value']) < 1e15 AND list_filter("event_params", lambda p: p['key'] = 'method')[1]['value']['double_value'] = FLOOR(list_filter("event_params", lambda p: p['key'] = 'method')[1]['value']['double_value']) THEN CAST(CAST(list_filter("event_params", lambda p: p['key'] = 'method')[1]['value']['double_value'] AS BIGINT) AS VARCHAR) ELSE CAST(list_filter("event_params", lambda p: p['key'] = 'method')[1]['value']['double_value'] AS VARCHAR) END, CASE WHEN ABS(list_filter("event_params", lambda p: p['key'] = 'method')[1]['value']['float_value']) < 1e15 AND list_filter("event_params", lambda p: p['key'] = 'method')[1]['value']['float_value'] = FLOOR(list_filter("event_params", lambda p: p['key'] = 'method')[1]['value']['float_value']) THEN CAST(CAST(list_filter("event_params", lambda p: p['key'] = 'method')[1]['value']['float_value'] AS BIGINT) AS VARCHAR) ELSE CAST(list_filter("event_params", lambda p: p['key'] = 'method')[1]['value']['float_value'] AS VARCHAR) END) END AS f1
  FROM read_parquet('events/*.parquet', union_by_name = true, hive_partitioning = false)
  WHERE "user_pseudo_id" IS NOT NULL
    AND "event_timestamp" IS NOT NULL
    AND "event_date" <= '20240310'
    AND "event_name" IN ('add_to_cart', 'page_view')
),
ev AS (
  SELECT
    *
  FROM (  SELECT
    u,
    ts,
    d,
    s,
    CAST(CASE WHEN s IS NOT NULL AND (f0 = 'add_to_cart' AND LOWER(f1) = LOWER('card')) THEN 1 ELSE 0 END + CASE WHEN s IS NOT NULL AND f0 = 'page_view' THEN 2 ELSE 0 END AS BIGINT) AS m0
  FROM raw
  OFFSET 0) AS marked
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
    BIT_OR(CAST(CASE WHEN (h0 & 1) = 1 AND (h0 & 2) = 2 THEN 1 ELSE 0 END + CASE WHEN (h0 & 1) = 1 AND (h0 & 2) = 2 AND ((h20220917_0 & 3) <> 0) THEN 2 ELSE 0 END AS BIGINT)) AS k0
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
SELECT "r"."key" AS "key", "r"."users" AS "users"
FROM (SELECT UNNEST([
  {"key": 'same-session', "users": COALESCE(n0, 0)}
]) AS "r" FROM totals)
