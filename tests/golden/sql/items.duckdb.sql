WITH raw AS (
  SELECT
    "user_pseudo_id" AS u,
    "event_timestamp" AS ts,
    TRY_CAST("event_date" AS BIGINT) AS d,
    COALESCE(len(list_filter("items", lambda i: COALESCE(LOWER(COALESCE(list_filter(i['item_params'], lambda p: p['key'] = 'size')[1]['value']['string_value'], CAST(list_filter(i['item_params'], lambda p: p['key'] = 'size')[1]['value']['int_value'] AS VARCHAR), CASE WHEN ABS(list_filter(i['item_params'], lambda p: p['key'] = 'size')[1]['value']['double_value']) < 1e15 AND list_filter(i['item_params'], lambda p: p['key'] = 'size')[1]['value']['double_value'] = FLOOR(list_filter(i['item_params'], lambda p: p['key'] = 'size')[1]['value']['double_value']) THEN CAST(CAST(list_filter(i['item_params'], lambda p: p['key'] = 'size')[1]['value']['double_value'] AS BIGINT) AS VARCHAR) ELSE CAST(list_filter(i['item_params'], lambda p: p['key'] = 'size')[1]['value']['double_value'] AS VARCHAR) END, CASE WHEN ABS(list_filter(i['item_params'], lambda p: p['key'] = 'size')[1]['value']['float_value']) < 1e15 AND list_filter(i['item_params'], lambda p: p['key'] = 'size')[1]['value']['float_value'] = FLOOR(list_filter(i['item_params'], lambda p: p['key'] = 'size')[1]['value']['float_value']) THEN CAST(CAST(list_filter(i['item_params'], lambda p: p['key'] = 'size')[1]['value']['float_value'] AS BIGINT) AS VARCHAR) ELSE CAST(list_filter(i['item_params'], lambda p: p['key'] = 'size')[1]['value']['float_value'] AS VARCHAR) END)) = LOWER('XL'), FALSE))) > 0, FALSE) AS f0,
    COALESCE(len(list_filter("items", lambda i: COALESCE(LOWER(i['item_name']) = LOWER('Mug'), FALSE))) > 0, FALSE) AS f1
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
    CAST(CASE WHEN (f0 OR f1) THEN 1 ELSE 0 END AS BIGINT) AS m0
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
  {"key": 'items', "users": COALESCE(n0, 0)}
]) AS "r" FROM totals)
