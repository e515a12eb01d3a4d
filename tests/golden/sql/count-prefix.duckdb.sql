WITH raw AS (
  SELECT
    "user_pseudo_id" AS u,
    "event_timestamp" AS ts,
    TRY_CAST("event_date" AS BIGINT) AS d,
    COALESCE(CAST("batch_page_id" AS BIGINT), -9223372036854775808) AS o0,
    COALESCE(CAST("batch_ordering_id" AS BIGINT), -9223372036854775808) AS o1,
    COALESCE(CAST("batch_event_index" AS BIGINT), -9223372036854775808) AS o2,
    COALESCE("event_name", '') AS n,
    "event_name" AS f0
  FROM read_parquet('events/*.parquet', union_by_name = true, hive_partitioning = false)
  WHERE "user_pseudo_id" IS NOT NULL
    AND "event_timestamp" IS NOT NULL
    AND "event_date" <= '20240310'
),
ev AS (
  SELECT
    u,
    ts,
    d,
    o0,
    o1,
    o2,
    n,
    CAST(CASE WHEN f0 = 'purchase' THEN 1 ELSE 0 END AS BIGINT) AS m0
  FROM raw
  OFFSET 0
),
usr AS (
  SELECT
    u,
    (BIT_OR(CASE WHEN d > 20220917 THEN m0 ELSE 0 END) & 1) <> 0 AS r0,
    SUM(CASE WHEN (m0 & 1) <> 0 THEN 1 ELSE 0 END) AS u0,
    arg_min(CASE WHEN (m0 & 1) <> 0 THEN 1 ELSE 0 END, ROW(ts, o0, o1, o2, n)) AS u1
  FROM ev
  GROUP BY u
),
flags AS (
  SELECT
    usr.u,
    CASE WHEN (((u0 >= 2 AND u1 <= 2))) AND (r0) THEN 1 ELSE 0 END AS a0
  FROM usr
),
totals AS (
  SELECT SUM(a0) AS n0
  FROM flags
)
SELECT "r"."key" AS "key", "r"."users" AS "users"
FROM (SELECT UNNEST([
  {"key": 'count-prefix', "users": COALESCE(n0, 0)}
]) AS "r" FROM totals)
