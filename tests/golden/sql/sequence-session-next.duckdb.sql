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
    "event_name" AS f0
  FROM read_parquet('events/*.parquet', union_by_name = true, hive_partitioning = false)
  WHERE "user_pseudo_id" IS NOT NULL
    AND "event_timestamp" IS NOT NULL
    AND "event_date" <= '20240310'
),
ev AS MATERIALIZED (
  SELECT
    u,
    ts,
    d,
    s,
    o0,
    o1,
    o2,
    n,
    CAST(CASE WHEN s IS NOT NULL AND f0 = 'page_view' THEN 1 ELSE 0 END + CASE WHEN s IS NOT NULL AND f0 = 'add_to_cart' THEN 2 ELSE 0 END AS BIGINT) AS m0
  FROM raw
  OFFSET 0
),
pos AS (
  SELECT
    ev.*,
    ROW_NUMBER() OVER (PARTITION BY u, s ORDER BY ts, o0, o1, o2, n) AS ps
  FROM ev
),
q0_0 AS (
  SELECT u, ts, d, o0, o1, o2, n, m0, s, ps
  FROM pos
  WHERE ((m0 & 3) <> 0) AND s IS NOT NULL AND u IN (
    SELECT u
    FROM ev
    WHERE ((m0 & 2) <> 0))
),
q0_1 AS (
  SELECT *, CASE WHEN (m0 & 1) <> 0 THEN ts END AS x0
  FROM q0_0
),
q0_2 AS (
  SELECT *, MAX(x0) OVER (PARTITION BY u, s ORDER BY ps ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS b1, MAX(CASE WHEN x0 IS NOT NULL THEN ps END) OVER (PARTITION BY u, s ORDER BY ps ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS p1
  FROM q0_1
  WHERE (x0 IS NOT NULL OR (m0 & 2) <> 0)
),
q0_3 AS (
  SELECT *, CASE WHEN ((m0 & 2) <> 0) AND b1 IS NOT NULL AND p1 = ps - 1 THEN ts END AS x1
  FROM q0_2
),
q0 AS (
  SELECT u, MAX(ts) AS t, MAX(d) AS d
  FROM q0_3
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
  {"key": 'sequence-session-next', "users": COALESCE(n0, 0)}
]) AS "r" FROM totals)
