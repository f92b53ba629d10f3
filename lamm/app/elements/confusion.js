// A confusion matrix whose cells can be clicked: rows are the classes of the photos, columns what they are taken for.
export default {
  props: { names: Array, counts: Array },
  emits: ["choose"],
  data: () => ({ chosen: "" }),
  template: `
    <div class="confusion"><table>
      <caption>Row: the class a photo is in. Column: what it is taken for. Click a number to see the photos.</caption>
      <thead><tr><th></th><th v-for="name in names" scope="col" :title="name"><span>{{ name }}</span></th><th scope="col"><span>right</span></th></tr></thead>
      <tbody><tr v-for="(row, i) in counts"><th scope="row" :title="names[i]"><span>{{ names[i] }}</span></th>
        <td v-for="(count, j) in row">
          <button v-if="count" type="button" :class="{ right: i === j, chosen: chosen === i + '/' + j }"
            :style="{ '--share': count / total(row) }" :aria-label="names[i] + ' taken for ' + names[j] + ': ' + count"
            @click="chosen = i + '/' + j; $emit('choose', [i, j])">{{ count }}</button>
        </td>
        <td class="share">{{ total(row) ? Math.round(100 * row[i] / total(row)) + ' %' : '' }}</td></tr></tbody>
    </table></div>`,
  methods: { total: (row) => row.reduce((sum, count) => sum + count, 0) },
};
