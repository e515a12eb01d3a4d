WITH raw AS (
  SELECT
    `user_pseudo_id` AS u,
    `event_timestamp` AS ts,
    SAFE_CAST(`event_date` AS INT64) AS d,
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
    CAST(CASE WHEN f0 = 'purchase' THEN 1 ELSE 0 END AS INT64) AS m0
  FROM raw
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
    UNIX_DATE(DATE(DIV(d, 10000), MOD(DIV(d, 100), 100), MOD(d, 100))) AS dn
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
    BIT_OR(CAST(CASE WHEN (z0 >= 2 AND z0 <= 2) THEN 1 ELSE 0 END AS INT64)) AS y0
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
SELECT r.key, r.users
FROM totals, UNNEST([
  STRUCT('count-any-days' AS key, COALESCE(n0, 0) AS users)
]) AS r
