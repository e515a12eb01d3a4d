WITH raw AS (
  SELECT
    `user_pseudo_id` AS u,
    `event_timestamp` AS ts,
    SAFE_CAST(`event_date` AS INT64) AS d,
    COALESCE(CAST(`batch_page_id` AS INT64), -9223372036854775808) AS o0,
    COALESCE(CAST(`batch_ordering_id` AS INT64), -9223372036854775808) AS o1,
    COALESCE(CAST(`batch_event_index` AS INT64), -9223372036854775808) AS o2,
    COALESCE(`event_name`, '') AS n,
    `event_name` AS f0
  FROM (SELECT * FROM `acme.analytics_1.events_*` WHERE _TABLE_SUFFIX BETWEEN '20140101' AND '20240310')
  WHERE `user_pseudo_id` IS NOT NULL
    AND `event_timestamp` IS NOT NULL
    AND `event_date` <= '20240310'
    AND `event_name` IN ('add_to_cart', 'page_view', 'purchase')
),
ev AS (
  SELECT
    *
  FROM (  SELECT
    u,
    ts,
    d,
    o0,
    o1,
    o2,
    n,
    CAST(CASE WHEN f0 = 'page_view' THEN 1 ELSE 0 END + CASE WHEN f0 = 'add_to_cart' THEN 2 ELSE 0 END + CASE WHEN f0 = 'purchase' THEN 4 ELSE 0 END AS INT64) AS m0
  FROM raw) AS marked
  WHERE (m0 <> 0)
),
q0_0 AS (
  SELECT u, ts, d, o0, o1, o2, n, m0
  FROM ev
  WHERE ((m0 & 7) <> 0)
),
q0_1 AS (
  SELECT *, CASE WHEN (m0 & 1) <> 0 THEN ts END AS x0
  FROM q0_0
),
q0_2 AS (
  SELECT *, MAX(x0) OVER (PARTITION BY u ORDER BY ts, o0, o1, o2, n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS b1, MAX(CASE WHEN x0 IS NOT NULL THEN ts END) OVER (PARTITION BY u ORDER BY ts, o0, o1, o2, n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS l1, ROW_NUMBER() OVER (PARTITION BY u ORDER BY ts, o0, o1, o2, n) AS w
  FROM q0_1
  WHERE (x0 IS NOT NULL OR (m0 & 6) <> 0)
),
q0_3 AS (
  SELECT *, CASE WHEN ((m0 & 2) <> 0) AND b1 IS NOT NULL AND ts - l1 <= 600000000 THEN b1 END AS x1
  FROM q0_2
),
q0_4 AS (
  SELECT *, MAX(x1) OVER (PARTITION BY u ORDER BY w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS b2
  FROM q0_3
  WHERE (x1 IS NOT NULL OR (m0 & 4) <> 0)
),
q0_5 AS (
  SELECT *, CASE WHEN ((m0 & 4) <> 0) AND b2 IS NOT NULL THEN b2 END AS x2
  FROM q0_4
),
q0 AS (
  SELECT u, MAX(ts) AS t, MAX(d) AS d
  FROM q0_5
  WHERE x2 IS NOT NULL AND ts - x2 <= 3600000000
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
SELECT r.key, r.users
FROM totals, UNNEST([
  STRUCT('sequence' AS key, COALESCE(n0, 0) AS users)
]) AS r
