WITH raw AS (
  SELECT
    "user_pseudo_id" AS u,
    "event_timestamp" AS ts,
    TRY_CAST("event_date" AS BIGINT) AS d,
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
    CAST(CASE WHEN f0 = 'purchase' THEN 1 ELSE 0 END AS BIGINT) AS m0
  FROM raw
  OFFSET 0
),
usr AS (
  SELECT
    u,
    (BIT_OR(CASE WHEN d > 20220917 THEN m0 ELSE 0 END) & 1) <> 0 AS r0
  FROM ev
  GROUP BY u
),
daily AS (
  SELECT
    u,
    d,
    SUM(CASE WHEN (m0 & 1) <> 0 THEN 1 ELSE 0 END) AS x0
  FROM ev
  GROUP BY u, d
),
numbered AS (
  SELECT
    *,
    (make_date(d // 10000, (d // 100) % 100, d % 100) - DATE '1970-01-01') AS dn
  FROM daily
),
spans AS (
  SELECT
    u,
    SUM(x0) OVER (PARTITION BY u ORDER BY dn RANGE BETWEEN 6 PRECEDING AND CURRENT ROW) AS z0
  FROM numbered
),
dys AS (
  SELECT
    u,
    BIT_OR(CAST(CASE WHEN (z0 >= 2 AND z0 <= 2) THEN 1 ELSE 0 END AS BIGINT)) AS y0
  FROM spans
  GROUP BY u
),
flags AS (
  SELECT
    usr.u,
    CASE WHEN (((y0 & 1) <> 0)) AND (r0) THEN 1 ELSE 0 END AS a0
  FROM usr
  LEFT JOIN dys ON dys.u = usr.u
),
totals AS (
  SELECT SUM(a0) AS n0
  FROM flags
)
SELECT "r"."key" AS "key", "r"."users" AS "users"
FROM (SELECT UNNEST([
  {"key": 'count-any-days', "users": COALESCE(n0, 0)}
]) AS "r" FROM totals)
