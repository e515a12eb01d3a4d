WITH raw AS (
  SELECT
    "user_pseudo_id" AS u,
    "event_timestamp" AS ts,
    TRY_CAST("event_date" AS BIGINT) AS d,
    "geo"."country" AS f0,
    "event_name" AS f1
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
    CAST(CASE WHEN LOWER(f0) = LOWER('Peru') THEN 1 ELSE 0 END + CASE WHEN f1 = 'page_view' THEN 2 ELSE 0 END AS BIGINT) AS m0
  FROM raw
  OFFSET 0) AS marked
  WHERE (m0 <> 0)
),
usr AS (
  SELECT
    u,
    BIT_OR(m0) AS e0,
    (BIT_OR(CASE WHEN d > 20220917 THEN m0 ELSE 0 END) & 3) <> 0 AS r0
  FROM ev
  GROUP BY u
),
flags AS (
  SELECT
    usr.u,
    CASE WHEN (((e0 & 1) <> 0) AND ((e0 & 2) <> 0)) AND (r0) THEN 1 ELSE 0 END AS a0
  FROM usr
),
totals AS (
  SELECT SUM(a0) AS n0
  FROM flags
)
SELECT "r"."key" AS "key", "r"."users" AS "users"
FROM (SELECT UNNEST([
  {"key": 'across-static', "users": COALESCE(n0, 0)}
]) AS "r" FROM totals)
