/* SPDX-License-Identifier: MIT */
/* SQLite in memory: inserts in a transaction, an index, joins, updates, aggregates, text functions. */
#include <sqlite3.h>
#include <stdio.h>

static int row(void *ctx, int n, char **value, char **name)
{
    (void)ctx;
    (void)name;
    for (int i = 0; i < n; i++)
        printf("%s%s", i ? "|" : "", value[i] ? value[i] : "NULL");
    putchar('\n');
    return 0;
}

int main(void)
{
    static const char *const sql[] = {
        "CREATE TABLE t(id INTEGER PRIMARY KEY, k INT, v TEXT, x REAL)",
        "BEGIN",
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<2000) "
        "INSERT INTO t SELECT i, (i*7919)%1009, printf('row %d of many', i), i*0.25 FROM c",
        "COMMIT",
        "CREATE INDEX by_k ON t(k)",
        "SELECT count(*), sum(k), avg(x), min(v), max(v) FROM t",
        "UPDATE t SET x = x*1.5 WHERE k BETWEEN 100 AND 300",
        "SELECT a.k, count(*), round(sum(b.x),3) FROM t a JOIN t b ON a.k=b.k WHERE a.id<50 GROUP BY a.k ORDER BY 2 "
        "DESC,1 "
        "LIMIT 5",
        "DELETE FROM t WHERE v LIKE '%9 of%'",
        "SELECT count(*), total(length(v)), group_concat(substr(upper(v),1,5)) FROM t WHERE id%400=1",
        "PRAGMA integrity_check",
    };
    sqlite3 *db;
    char *why = NULL;
    if (sqlite3_open(":memory:", &db))
        return 1;
    for (unsigned i = 0; i < sizeof sql / sizeof *sql; i++)
        if (sqlite3_exec(db, sql[i], row, NULL, &why)) {
            printf("%s: %s\n", sql[i], why);
            return 1;
        }
    sqlite3_close(db);
    return 0;
}
