WITH raw AS (
  SELECT
    "user_pseudo_id" AS u,
    "event_timestamp" AS ts,
    TRY_CAST("event_date" AS BIGINT) AS d,
    COALESCE(CAST("batch_page_id" AS BIGINT), -9223372036854775808) AS o0,
    COALESCE(CAST("batch_ordering_id" AS BIGINT), -9223372036854775808) AS o1,
    COALESCE(CAST("batch_event_index" AS BIGINT), -9223372036854775808) AS o2,
    COALESCE("event_name", '') AS n,
    CASE WHEN "event_name" IN ('add_to_cart', 'purchase') THEN COALESCE(CAST(list_filter("event_params", lambda p: p['key'] = 'ga_session_id')[1]['value']['int_value'] AS BIGINT), TRY_CAST(CAST(list_filter("event_params", lambda p: p['key'] = 'ga_session_id')[1]['value']['string_value'] AS VARCHAR) AS BIGINT)) END AS s,
    "event_name" AS f0
  FROM read_parquet('events/*.parquet', union_by_name = true, hive_partitioning = false)
  WHERE "user_pseudo_id" IS NOT NULL
    AND "event_timestamp" IS NOT NULL
    AND "event_date" <= '20240310'
    AND "event_name" IN ('add_to_cart', 'page_view', 'purchase')
),
ev AS MATERIALIZED (
  SELECT
    *
  FROM (  SELECT
    u,
    ts,
    d,
    s,
    o0,
    o1,
    o2,
    n,
    CAST(CASE WHEN f0 = 'page_view' THEN 1 ELSE 0 END + CASE WHEN s IS NOT NULL AND f0 = 'add_to_cart' THEN 2 ELSE 0 END + CASE WHEN s IS NOT NULL AND f0 = 'purchase' THEN 4 ELSE 0 END AS BIGINT) AS m0
  FROM raw
  OFFSET 0) AS marked
  WHERE (m0 <> 0)
),
q0_0 AS (
  SELECT u, ts, d, o0, o1, o2, n, m0, s
  FROM ev
  WHERE ((m0 & 7) <> 0) AND u IN (
    SELECT u
    FROM ev
    WHERE ((m0 & 6) <> 0))
),
q0_1 AS (
  SELECT *, CASE WHEN (m0 & 1) <> 0 THEN ts END AS x0
  FROM q0_0
),
q0_2 AS (
  SELECT *, MAX(x0) OVER (PARTITION BY u ORDER BY ts, o0, o1, o2, n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS b1
  FROM q0_1
  WHERE (x0 IS NOT NULL OR (m0 & 6) <> 0)
),
q0_3 AS (
  SELECT *, MAX(CASE WHEN (m0 & 2) <> 0 THEN b1 END) OVER (PARTITION BY u, s ORDER BY ts, o0, o1, o2, n ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS b1_0, MAX(CASE WHEN (m0 & 4) <> 0 THEN b1 END) OVER (PARTITION BY u, s ORDER BY ts, o0, o1, o2, n ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS b1_1
  FROM q0_2
),
q0_4 AS (
  SELECT *, CASE WHEN ((m0 & 6) <> 0) AND b1_0 IS NOT NULL AND b1_1 IS NOT NULL THEN ts END AS x1
  FROM q0_3
),
q0 AS (
  SELECT u, MAX(ts) AS t, MAX(d) AS d
  FROM q0_4
  WHERE x1 IS NOT NULL
  GROUP BY u
),
flags AS (
  SELECT
    q0.u,
    CASE WHEN (q0.t IS NOT NULL) AND (COALESCE(q0.d > 20220917, FALSE)) THEN 1 ELSE 0 END AS a0
  FROM q0
),
totals AS (
  SELECT SUM(a0) AS n0
  FROM flags
)
SELECT "r"."key" AS "key", "r"."users" AS "users"
FROM (SELECT UNNEST([
  {"key": 'sequence-groups', "users": COALESCE(n0, 0)}
]) AS "r" FROM totals)
