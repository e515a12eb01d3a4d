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
    CAST(CASE WHEN f0 = 'purchase' THEN 1 ELSE 0 END AS INT64) AS m0
  FROM raw
),
usr AS (
  SELECT
    u,
    (BIT_OR(CASE WHEN d > 20220917 THEN m0 ELSE 0 END) & 1) <> 0 AS r0,
    SUM(CASE WHEN (m0 & 1) <> 0 THEN 1 ELSE 0 END) AS u0,
    ARRAY_AGG(CASE WHEN (m0 & 1) <> 0 THEN 1 ELSE 0 END IGNORE NULLS ORDER BY ts, o0, o1, o2, n LIMIT 1)[SAFE_OFFSET(0)] AS u1
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
SELECT r.key, r.users
FROM totals, UNNEST([
  STRUCT('count-prefix' AS key, COALESCE(n0, 0) AS users)
]) AS r
