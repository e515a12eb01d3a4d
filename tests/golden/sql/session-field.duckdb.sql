WITH raw AS (
  SELECT
    "user_pseudo_id" AS u,
    "event_timestamp" AS ts,
    TRY_CAST("event_date" AS BIGINT) AS d,
    COALESCE(CAST("batch_page_id" AS BIGINT), -9223372036854775808) AS o0,
    COALESCE(CAST("batch_ordering_id" AS BIGINT), -9223372036854775808) AS o1,
    COALESCE(CAST("batch_event_index" AS BIGINT), -9223372036854775808) AS o2,
    COALESCE("event_name", '') AS n,
    COALESCE(CAST(list_filter("event_params", lambda p: p['key'] = 'ga_session_id')[1]['value']['int_value'] AS BIGINT), TRY_CAST(CAST(list_filter("event_params", lambda p: p['key'] = 'ga_session_id')[1]['value']['string_value'] AS VARCHAR) AS BIGINT)) AS s,
    list_transform(list_transform([split_part(split_part(COALESCE(list_filter("event_params", lambda p: p['key'] = 'page_location')[1]['value']['string_value'], CAST(list_filter("event_params", lambda p: p['key'] = 'page_location')[1]['value']['int_value'] AS VARCHAR), CASE WHEN ABS(list_filter("event_params", lambda p: p['key'] = 'page_location')[1]['value']['double_value']) < 1e15 AND list_filter("event_params", lambda p: p['key'] = 'page_location')[1]['value']['double_value'] = FLOOR(list_filter("event_params", lambda p: p['key'] = 'page_location')[1]['value']['double_value']) THEN CAST(CAST(list_filter("event_params", lambda p: p['key'] = 'page_location')[1]['value']['double_value'] AS BIGINT) AS VARCHAR) ELSE CAST(list_filter("event_params", lambda p: p['key'] = 'page_location')[1]['value']['double_value'] AS VARCHAR) END, CASE WHEN ABS(list_filter("event_params", lambda p: p['key'] = 'page_location')[1]['value']['float_value']) < 1e15 AND list_filter("event_params", lambda p: p['key'] = 'page_location')[1]['value']['float_value'] = FLOOR(list_filter("event_params", lambda p: p['key'] = 'page_location')[1]['value']['float_value']) THEN CAST(CAST(list_filter("event_params", lambda p: p['key'] = 'page_location')[1]['value']['float_value'] AS BIGINT) AS VARCHAR) ELSE CAST(list_filter("event_params", lambda p: p['key'] = 'page_location')[1]['value']['float_value'] AS VARCHAR) END), '#', 1), '?', 1)], lambda t: CASE WHEN starts_with(t, 'https://') THEN substr(t, 9) WHEN starts_with(t, 'http://') THEN substr(t, 8) END), lambda u: substr(u, length(NULLIF(split_part(u, '/', 1), '')) + 1))[1] AS f0,
    CASE WHEN "collected_traffic_source" IS NOT NULL THEN {'v': "collected_traffic_source"."manual_source"} END AS f1,
    "session_traffic_source_last_click" IS NULL AS f2,
    COALESCE("session_traffic_source_last_click"."cross_channel_campaign"."source", "session_traffic_source_last_click"."manual_campaign"."source") AS f3
  FROM read_parquet('events/*.parquet', union_by_name = true, hive_partitioning = false)
  WHERE "user_pseudo_id" IS NOT NULL
    AND "event_timestamp" IS NOT NULL
    AND "event_date" <= '20240310'
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
    CAST(CASE WHEN (LOWER(w0) = LOWER('/a') AND LOWER(CASE WHEN f2 THEN w1."v" ELSE f3 END) = LOWER('google')) THEN 1 ELSE 0 END AS BIGINT) AS m0
  FROM win
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
  {"key": 'session-field', "users": COALESCE(n0, 0)}
]) AS "r" FROM totals)
