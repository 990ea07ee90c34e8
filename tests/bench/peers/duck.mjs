// usage: node duck.mjs load FILE.parquet < rows.csv       CSV to Parquet, zstd
//        node duck.mjs ask FOLDER THREADS RUNS < questions.json
//
// Questions are {"name": "...", "sql": "..."}; a line of "name<TAB>milliseconds of each run" comes back.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { DuckDBInstance } = createRequire(process.env.DUCKDB_FROM + '/')('@duckdb/node-api');
const [what, where, threads = '2', runs = '5'] = process.argv.slice(2);
const db = await (await DuckDBInstance.create(':memory:', { threads })).connect();

if (what === 'load') {
	await db.run('SET preserve_insertion_order = true');
	await db.run(`COPY (SELECT * FROM read_csv('/dev/stdin', header = true))
		TO '${where}' (FORMAT parquet, COMPRESSION zstd)`);
} else {
	for (const table of ['flows', 'calls'])
		await db.run(`CREATE VIEW ${table} AS SELECT * FROM read_parquet('${where}/${table}.parquet')`);
	for (const { name, sql } of JSON.parse(readFileSync(0, 'utf8'))) {
		const ms = [];

		for (let i = 0; i < Number(runs); i++) {
			const begin = process.hrtime.bigint();

			await (await db.runAndReadAll(sql)).getRows();
			ms.push((Number(process.hrtime.bigint() - begin) / 1e6).toFixed(2));
		}
		console.log(`${name}\t${ms.join(' ')}`);
	}
}
